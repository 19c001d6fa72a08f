/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/boot.rs needs from C: lending a processor, claiming memory, reading a file, watching
 * for the end. The pcn_processor_ and pcn_trampoline_ functions are the architecture's, in
 * popcorn_boot/x86.
 */
#ifndef PCN_HELPERS_BOOT_H
#define PCN_HELPERS_BOOT_H

#include <linux/types.h>

/* --- the architecture --- */

/* Larger hardware ids need a newer mode of local APICs, x2APIC. */
#define PCN_XAPIC_ID_MAX 254

/*
 * The hardware's id of @cpu. -ENODEV if it has none, -EPERM if it is the boot processor, -EOPNOTSUPP if another
 * kernel could not use a processor with that id, of which the log tells.
 */
int pcn_processor_id(unsigned int cpu, u32 *id);
/* The hardware's id of the processor that the machine booted on. */
u32 pcn_processor_boot_id(void);
/* The same of any CPU, also the boot processor; false if it has none. */
bool pcn_processor_any_id(unsigned int cpu, u32 *id);
/* Frequency of the time-stamp counter; 0 if it is not known. */
u32 pcn_processor_tsc_khz(void);
/* The time-stamp counter, after all that was loaded before. */
u64 pcn_processor_tsc(void);
/* Stops processor @id in whatever it does; it then waits for a start. Sleeps for 10 ms. */
void pcn_processor_reset(u32 id);
/*
 * So often each processor of a kernel is stopped, all of them one time before any of them the next. See
 * StartPages in rust/kernel/boot/processor.rs.
 */
#define PCN_STOP_PASSES 2
/*
 * Stops all @count processors @ids of a kernel without a sleep, so often, in any context; they cannot be
 * started right after it.
 */
void pcn_processors_stop(const u32 *ids, unsigned int count);
/* Resets processor @id and starts it in real mode at @page (below 1 MiB). Sleeps for 10 ms. */
void pcn_processor_start(u32 id, u64 page);
/* This processor does nothing any more, with interrupts off, until it is reset or an NMI comes. */
void pcn_processor_halt(void);
/* All others of this kernel do nothing any more, for good. */
void pcn_processor_stop_others(void);

/*
 * Whether the page at @address, below 1 MiB, is RAM that this kernel keeps to itself and makes no use of.
 */
bool pcn_low_page_is_unused(u64 address);

/* Writes the trampoline for one start into @page, PAGE_SIZE bytes to be copied to @phys, below 1 MiB. */
void pcn_trampoline_write(void *page, u64 phys, u32 top_table, u64 entry, u64 zero_page);
/* Code for the start of that page that lets a processor do nothing any more. */
#define PCN_TRAMPOLINE_PARK_SIZE 4
void pcn_trampoline_park(u8 *code);
/*
 * What a page of another kernel below 1 MiB shall begin with that begins with @first, so that no processor
 * starts there any more. It is harmless to one that has started, and to data.
 */
u8 pcn_start_parked(u8 first);
/* Where in the page the trampoline tells how far it came, in 32 bits; a multiple of 8. */
u32 pcn_trampoline_stage_offset(void);
/* Whether that means that the processor has reached the kernel's entry. */
bool pcn_trampoline_left(u32 stage);
/* Whether it means that the processor had an exception before the kernel took over. */
bool pcn_trampoline_faulted(u32 stage);

/* --- processors --- */

/* Whether there is such a CPU at all, lent or not: 0 or -ENODEV. */
int pcn_cpu_exists(unsigned int cpu);
/*
 * Takes @cpu offline, and keeps everybody from bringing it online again. @was_online tells whether it
 * was. -ENODEV no such cpu, or it is lent already, -EBUSY it cannot go or was brought back at once, or
 * hot-plug is switched off just now, -EOPNOTSUPP this kernel was told not to boot it, of which the log tells,
 * -EINTR killed while another one was at it, or what the hot-plug callbacks answer. One at a time. Sleeps.
 */
int pcn_cpu_lend(unsigned int cpu, bool *was_online);
/* Undoes it. An error means that the CPU stays offline; it can be brought online by hand. Sleeps. */
int pcn_cpu_take_back(unsigned int cpu, bool online);

/*
 * Brings each present CPU whose hardware id is among the @count @ids online, and each other offline. The
 * first error, after all were tried. Sleeps.
 */
int pcn_cpus_set_online(const u32 *ids, unsigned int count);
/*
 * From now on a CPU comes online only if @may(@data, its hardware id) says so. -EBUSY if there is a guard
 * already. Sleeps.
 */
int pcn_cpu_guard(bool (*may)(void *data, u32 id), void *data);
/* Nobody calls @may when it returns. Sleeps. */
void pcn_cpu_unguard(void);

/* --- memory and files --- */

/*
 * Whether all of [@start, @start + @size) was reserved at boot, and is nobody's memory.
 * -ENXIO not reserved, or not all of it, -EBUSY System RAM or a device within. A kernel without PCI does not
 * keep a list of what is reserved: there it is -ENXIO.
 */
int pcn_memory_is_reserved(u64 start, u64 size);
/* Claims it, so that no driver can; false if one has. @name must live until the release. */
bool pcn_memory_claim(u64 start, u64 size, const char *name);
void pcn_memory_release(u64 start, u64 size);
/*
 * Marks [@start, @start + @size), whole pages below 1 MiB, as lent: false if part of it is. The marks are
 * ours alone, for there is no other place where such memory could be claimed.
 */
bool pcn_low_claim(u64 start, u64 size);
void pcn_low_release(u64 start, u64 size);
bool pcn_low_is_claimed(u64 address);

/* Calls @found(@data) for each range of this kernel's RAM, ascending, until it returns non-zero. Sleeps. */
int pcn_ram_walk(int (*found)(void *data, u64 start, u64 size), void *data);
/*
 * Whether what is in [@start, @start + @size), of this kernel's RAM and within one section, looks as if it
 * could be moved elsewhere; only looks at memory of NUMA node @nid, unless that is negative. A guess.
 */
bool pcn_ram_is_movable(u64 start, u64 size, int nid);
/* The NUMA node of @cpu, -1 if it has none. */
int pcn_cpu_numa_node(unsigned int cpu);
/* That of the memory at @address, which this kernel need not use. */
int pcn_memory_numa_node(u64 address);
/*
 * Moves away what is in the range and takes its pages: -EBUSY if something cannot be moved, -EINTR
 * killed, -ENOMEM. Sleeps, for a second if it must.
 */
int pcn_ram_take(u64 start, u64 size);
/* Gives them back, whatever is in them. Sleeps. */
void pcn_ram_give(u64 start, u64 size);

/*
 * Reads a whole file of at most @max bytes into memory of its own, to be freed with pcn_file_free. @path is
 * looked up as the current task sees it.
 */
int pcn_file_read(const char *path, size_t max, bool kernel, void **data, size_t *size);
void pcn_file_free(void *data);
/* Sleeps; true if a fatal signal came first. */
bool pcn_sleep_killable(unsigned int milliseconds);
bool pcn_capable_sys_boot(void);
/* Nanoseconds since boot, suspend included. */
u64 pcn_boot_time_ns(void);
/* Nanoseconds since 1970. */
u64 pcn_wall_clock_ns(void);
/* Sets it. Sleeps. */
int pcn_set_wall_clock_ns(u64 ns);
/* Begins to shut this kernel down in order, by its user space if that can; returns at once. */
void pcn_power_off(void);

/* --- the end of this kernel --- */

enum pcn_end {
	PCN_END_PANIC,
	PCN_END_RESTART,
	PCN_END_HALT,
	PCN_END_POWER_OFF,
};

struct pcn_end_watch;

/*
 * Calls @notify(@data) last of all when this kernel is about to end: for a panic in any context, else in
 * a process. An ERR_PTR on failure. May sleep.
 */
struct pcn_end_watch *pcn_end_watch_new(void (*notify)(void *data, enum pcn_end end), void *data);
/* @notify is not called any more when it returns. May sleep. */
void pcn_end_watch_free(struct pcn_end_watch *watch);

#endif /* PCN_HELPERS_BOOT_H */

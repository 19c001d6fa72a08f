/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Popcorn: starting a second kernel on a processor and memory of this machine.
 *
 * The user interface of popcorn_boot: ioctls on /dev/popcorn_boot, and its console log by read().
 * Structures grow as those of popcorn.h do, with the same errors.
 *
 * The memory of the second kernel is set when the module is loaded; it was reserved when the
 * machine booted. A second kernel goes through these states:
 *
 *   EMPTY --START--> LOADED --its processor reports in--> RUNNING --KILL, or its own end--> STOPPED
 *                      ^                                                                       |
 *                      +--------------------------------START-----------------------------------+
 *
 * read() gives the console log: all that is there from position 0 on, then end of file; reading
 * again at the position reached gives what was added since. Positions go on over a new start. Text
 * that was overwritten meanwhile is skipped. EIO: the second kernel has destroyed its log.
 */
#ifndef _UAPI_LINUX_POPCORN_BOOT_H
#define _UAPI_LINUX_POPCORN_BOOT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* popcorn_boot_start.cmdline_len: the longest */
#define POPCORN_BOOT_CMDLINE_MAX 2047

/**
 * struct popcorn_boot_start - POPCORN_BOOT_IOC_START: start the second kernel
 * @size:        sizeof(struct popcorn_boot_start)
 * @cpu:         the processor that it gets; it goes offline here and cannot be brought back by hand
 * @kernel_fd:   a bzImage, open for reading
 * @initrd_fd:   its initramfs, open for reading, or -1
 * @cmdline:     pointer to what is added to its command line; not followed by a zero byte
 * @cmdline_len: bytes at @cmdline
 * @flags:       zero
 *
 * Returns when the processor has entered the kernel. On an error none runs that did not run before,
 * and @cpu is where it was; but memory and console log of a former second kernel may be lost, and
 * another processor that it had may be back online here.
 *
 * EPERM   no CAP_SYS_BOOT, or @cpu is the processor that the machine booted on
 * EBUSY   one runs already, or is being started or killed; or @cpu cannot go offline
 * ENODEV  no such processor, or this kernel does not know the rate of its time-stamp counter
 * EBADF   not open for reading
 * ENOEXEC not a bzImage, truncated, or a kind that cannot be started so
 * EFBIG   kernel and initramfs do not fit the memory
 * EINVAL  flags; a file that is empty or no ordinary one; a command line with a byte that is not
 *         printable ASCII, with an odd number of double quotes, or with a parameter that would let
 *         the second kernel take this one's devices, or a lone "--"
 * ENAMETOOLONG a command line over POPCORN_BOOT_CMDLINE_MAX, or too long for that kernel
 * ETIMEDOUT the processor did not report in
 * EINTR   killed                     ENOMEM
 */
struct popcorn_boot_start {
	__u32 size;
	__u32 cpu;
	__s32 kernel_fd;
	__s32 initrd_fd;
	__u64 cmdline;
	__u32 cmdline_len;
	__u32 flags;
};

/* popcorn_boot_kill.flags */
#define POPCORN_BOOT_KILL_RELEASE (1u << 0) /* and bring its processor online here again */

/**
 * struct popcorn_boot_kill - POPCORN_BOOT_IOC_KILL: stop the second kernel, whatever it does
 * @size:  sizeof(struct popcorn_boot_kill)
 * @flags: POPCORN_BOOT_KILL_*
 *
 * Its console log can still be read. Without POPCORN_BOOT_KILL_RELEASE its processor stays with the
 * module, for the next start or until the module is unloaded.
 *
 * EPERM no CAP_SYS_BOOT   EBUSY it is being started or killed   EINVAL flags
 * ESRCH none was started since the last kill (with POPCORN_BOOT_KILL_RELEASE: and there is no
 *       processor to release)
 */
struct popcorn_boot_kill {
	__u32 size;
	__u32 flags;
};

/* popcorn_boot_status.state */
#define POPCORN_BOOT_EMPTY   0 /* none was started yet */
#define POPCORN_BOOT_LOADED  1 /* it is in memory; its processor has not yet entered it */
#define POPCORN_BOOT_RUNNING 2 /* its processor has entered it */
#define POPCORN_BOOT_STOPPED 3 /* it was killed, or has ended by itself: see @report */

/* popcorn_boot_status.report: what the second kernel has said of itself since its start */
#define POPCORN_BOOT_SILENT    0 /* nothing yet */
#define POPCORN_BOOT_ONLINE    1 /* it has booted and loads its modules */
#define POPCORN_BOOT_PANIC     2 /* it has panicked */
#define POPCORN_BOOT_RESTART   3 /* it was told to restart, and stopped instead */
#define POPCORN_BOOT_HALT      4 /* it was told to halt */
#define POPCORN_BOOT_POWER_OFF 5 /* it was told to switch off, and stopped instead */
#define POPCORN_BOOT_GARBLED   255 /* it has destroyed the page in which it reports */

/* popcorn_boot_status.cpu and .hardware_id: none is lent */
#define POPCORN_BOOT_NO_CPU 0xffffffffu

/**
 * struct popcorn_boot_status - POPCORN_BOOT_IOC_STATUS: how the second kernel fares
 * @size:        sizeof(struct popcorn_boot_status)
 * @state:       POPCORN_BOOT_EMPTY, _LOADED, _RUNNING or _STOPPED
 * @report:      POPCORN_BOOT_SILENT and following
 * @cpu:         the processor that it has, by its number here, or POPCORN_BOOT_NO_CPU
 * @hardware_id: the same by its APIC id
 * @node:        its node id
 * @starts:      how often one was started
 * @reserved:    zero
 * @memory_base: physical address of its memory
 * @memory_size: bytes of it
 * @window_base: physical address of the message window, which lies in that memory
 * @window_size: bytes of it
 * @started_ns:  CLOCK_BOOTTIME when its processor was started, in ns; 0 if none was
 * @boot_ns:     time from there to its report that it is online, in ns; 0 if there was none
 */
struct popcorn_boot_status {
	__u32 size;
	__u32 state;
	__u32 report;
	__u32 cpu;
	__u32 hardware_id;
	__u32 node;
	__u32 starts;
	__u32 reserved;
	__u64 memory_base;
	__u64 memory_size;
	__u64 window_base;
	__u64 window_size;
	__u64 started_ns;
	__u64 boot_ns;
};

#define POPCORN_BOOT_IOC_MAGIC	'P'
#define POPCORN_BOOT_IOC_START	_IOW(POPCORN_BOOT_IOC_MAGIC, 0xa1, struct popcorn_boot_start)
#define POPCORN_BOOT_IOC_KILL	_IOW(POPCORN_BOOT_IOC_MAGIC, 0xa2, struct popcorn_boot_kill)
#define POPCORN_BOOT_IOC_STATUS _IOWR(POPCORN_BOOT_IOC_MAGIC, 0xa3, struct popcorn_boot_status)

#endif /* _UAPI_LINUX_POPCORN_BOOT_H */

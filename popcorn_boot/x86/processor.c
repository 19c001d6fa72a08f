// SPDX-License-Identifier: GPL-2.0
/*
 * Resetting and starting a processor of this machine by its APIC id, whichever kernel runs on it.
 *
 * INIT works in any state of the processor but one: it is what a crash, an endless loop with interrupts
 * off, or a triple fault cannot resist. After it the processor waits for a start-up interrupt, which
 * names the page where it begins in real mode. Linux starts its own processors the same way, so one that
 * was reset here can be brought online again.
 */
#include <linux/build_bug.h>
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/string.h>

#include <asm/apic.h>
#include <asm/barrier.h>
#include <asm/desc.h>
#include <asm/hypervisor.h>
#include <asm/mpspec.h>
#include <asm/topology.h>
#include <asm/tsc.h>

#include "helpers/boot.h"
#include "trampoline.h"

/* Intel's "MP initialization protocol": how long INIT must last, and the pause between two SIPIs. */
#define INIT_US 10000
#define SIPI_US 300

static void send(u32 apic_id, u32 command)
{
	unsigned long flags;

	/* The ICR has two halves on an old APIC: nobody on this processor may come in between. */
	local_irq_save(flags);
	/* Writing the ICR of an x2APIC does not wait for earlier stores. */
	weak_wrmsr_fence();
	if (apic->safe_wait_icr_idle)
		apic->safe_wait_icr_idle();
	apic->icr_write(APIC_DEST_PHYSICAL | command, apic_id);
	local_irq_restore(flags);
}

/*
 * A kernel leaves x2APIC mode when it finds no unit that remaps interrupts, which can only be one kernel's; it
 * panics if its id does not fit the older mode. On KVM it needs no such unit.
 */
static bool others_can_use(u32 apic_id)
{
	return apic_id <= PCN_XAPIC_ID_MAX || hypervisor_is_type(X86_HYPER_KVM);
}

int pcn_processor_id(unsigned int cpu, u32 *id)
{
	u32 apic_id = cpu_physical_id(cpu);

	if (apic_id == BAD_APICID)
		return -ENODEV;
	/* INIT sends the machine's boot processor into the firmware. */
	if (apic_id == boot_cpu_physical_apicid)
		return -EPERM;
	if (!others_can_use(apic_id)) {
		pr_err("popcorn: CPU %u cannot be lent: a kernel uses its APIC id, %u, only where it can remap interrupts\n",
		       cpu, apic_id);
		return -EOPNOTSUPP;
	}
	if (x2apic_mode && apic->dest_mode_logical && !hypervisor_is_type(X86_HYPER_KVM))
		pr_notice_once(
			"popcorn: others use xAPIC beside this kernel's x2APIC: on emulated processors boot with x2apic_phys\n");
	*id = apic_id;
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_processor_id);

bool pcn_processor_any_id(unsigned int cpu, u32 *id)
{
	*id = cpu_physical_id(cpu);
	return *id != BAD_APICID;
}
EXPORT_SYMBOL_GPL(pcn_processor_any_id);

u32 pcn_processor_boot_id(void)
{
	return boot_cpu_physical_apicid;
}
EXPORT_SYMBOL_GPL(pcn_processor_boot_id);

u32 pcn_processor_tsc_khz(void)
{
	return tsc_khz;
}
EXPORT_SYMBOL_GPL(pcn_processor_tsc_khz);

u64 pcn_processor_tsc(void)
{
	return rdtsc_ordered();
}
EXPORT_SYMBOL_GPL(pcn_processor_tsc);

void pcn_processor_reset(u32 id)
{
	send(id, APIC_INT_LEVELTRIG | APIC_INT_ASSERT | APIC_DM_INIT);
	fsleep(INIT_US);
	send(id, APIC_INT_LEVELTRIG | APIC_DM_INIT);
}
EXPORT_SYMBOL_GPL(pcn_processor_reset);

void pcn_processor_start(u32 id, u64 page)
{
	u32 command = APIC_DM_STARTUP | (u32)(page >> PAGE_SHIFT);

	pcn_processor_reset(id);
	/* What the processor will find in memory comes before the signal. */
	mb();
	send(id, command);
	fsleep(SIPI_US);
	/* Some processors want it twice; one that runs already ignores it. */
	send(id, command);
}
EXPORT_SYMBOL_GPL(pcn_processor_start);

static size_t args_offset(void)
{
	return (const u8 *)&pcn_trampoline_args - pcn_trampoline_start;
}

/* As trampoline.S has them. */
static_assert(sizeof(struct pcn_trampoline_args) == 24);
static_assert(sizeof(gate_desc) * PCN_TRAMPOLINE_VECTORS == PCN_TRAMPOLINE_IDT_SIZE);

static void write_idt(gate_desc *idt, u64 handler)
{
	struct idt_data data = {
		.segment = PCN_TRAMPOLINE_CODE64,
		.bits.type = GATE_INTERRUPT,
		.bits.p = 1,
		.addr = (void *)handler,
	};

	for (data.vector = 0; data.vector < PCN_TRAMPOLINE_VECTORS; data.vector++)
		idt_init_desc(&idt[data.vector], &data);
}

void pcn_trampoline_write(void *page, u64 phys, u32 top_table, u64 entry, u64 zero_page)
{
	struct pcn_trampoline_args args = {
		.stage = PCN_TRAMPOLINE_NOT_STARTED,
		.top_table = top_table,
		.entry = entry,
		.zero_page = zero_page,
	};

	memset(page, 0, PAGE_SIZE);
	memcpy(page, pcn_trampoline_start, args_offset());
	memcpy(page + args_offset(), &args, sizeof(args));
	write_idt(page + PCN_TRAMPOLINE_IDT, phys + (pcn_trampoline_fault - pcn_trampoline_start));
}
EXPORT_SYMBOL_GPL(pcn_trampoline_write);

void pcn_trampoline_park(u8 *code)
{
	/* cli; hlt; jmp back to the hlt */
	static const u8 park[PCN_TRAMPOLINE_PARK_SIZE] = { 0xfa, 0xf4, 0xeb, 0xfd };

	memcpy(code, park, sizeof(park));
}
EXPORT_SYMBOL_GPL(pcn_trampoline_park);

u8 pcn_start_parked(u8 first)
{
	/*
	 * cli, as Linux's trampoline begins, becomes hlt: interrupts are off after INIT. It must be this one
	 * byte, for a processor may just be past it; and no other page, for the trampoline's page table is
	 * among them, and a processor that loses that triple-faults.
	 */
	return first == 0xfa ? 0xf4 : first;
}
EXPORT_SYMBOL_GPL(pcn_start_parked);

u32 pcn_trampoline_stage_offset(void)
{
	return args_offset() + offsetof(struct pcn_trampoline_args, stage);
}
EXPORT_SYMBOL_GPL(pcn_trampoline_stage_offset);

bool pcn_trampoline_left(u32 stage)
{
	return stage == PCN_TRAMPOLINE_LONG_MODE;
}
EXPORT_SYMBOL_GPL(pcn_trampoline_left);

bool pcn_trampoline_faulted(u32 stage)
{
	return stage == PCN_TRAMPOLINE_FAULT;
}
EXPORT_SYMBOL_GPL(pcn_trampoline_faulted);

void pcn_processors_stop(const u32 *ids, unsigned int count)
{
	unsigned int pass, i;

	for (pass = 0; pass < PCN_STOP_PASSES; pass++) {
		for (i = 0; i < count; i++)
			send(ids[i], APIC_INT_LEVELTRIG | APIC_INT_ASSERT | APIC_DM_INIT);
		/* What one of them has sent another before is there by then. */
		udelay(SIPI_US);
	}
}
EXPORT_SYMBOL_GPL(pcn_processors_stop);

void pcn_processor_halt(void)
{
	local_irq_disable();
	asm volatile("hlt" : : : "memory");
}
EXPORT_SYMBOL_GPL(pcn_processor_halt);

void pcn_processor_stop_others(void)
{
	smp_send_stop();
}
EXPORT_SYMBOL_GPL(pcn_processor_stop_others);

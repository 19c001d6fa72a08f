// SPDX-License-Identifier: GPL-2.0
/* See boot.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/capability.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/ioport.h>
#include <linux/kernel_read_file.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "boot.h"

int pcn_cpu_lendable(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_present(cpu) ? 0 : -ENODEV;
}
EXPORT_SYMBOL_GPL(pcn_cpu_lendable);

int pcn_cpu_lend(unsigned int cpu, bool *was_online)
{
	int ret = pcn_cpu_lendable(cpu);

	if (ret)
		return ret;
	ret = remove_cpu(cpu);
	if (ret < 0)
		return ret;
	/* 1: it was offline before. */
	*was_online = !ret;

	/*
	 * Nobody brings a CPU online that is not present, and none can be in the middle of it while the
	 * lock is held. So from here on it is ours, or it was brought back just before.
	 */
	cpus_read_lock();
	if (cpu_online(cpu))
		ret = -EBUSY;
	else
		set_cpu_present(cpu, false);
	cpus_read_unlock();
	if (ret < 0)
		return ret;

	/*
	 * This must fail. On its way it lets the architecture see that not every present CPU is one that
	 * it has booted: x86 then stops sending interrupts to "all but self", which ask no present mask
	 * and would reach the other kernel.
	 */
	if (add_cpu(cpu))
		return 0;
	set_cpu_present(cpu, true);
	return -EBUSY;
}
EXPORT_SYMBOL_GPL(pcn_cpu_lend);

int pcn_cpu_take_back(unsigned int cpu, bool online)
{
	cpus_read_lock();
	set_cpu_present(cpu, true);
	cpus_read_unlock();
	return online ? add_cpu(cpu) : 0;
}
EXPORT_SYMBOL_GPL(pcn_cpu_take_back);

int pcn_memory_is_reserved(u64 start, u64 size)
{
	if (region_intersects(start, size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) !=
	    REGION_DISJOINT)
		return -EBUSY;
	switch (region_intersects(start, size, IORESOURCE_MEM, IORES_DESC_RESERVED)) {
	case REGION_INTERSECTS:
		return 0;
	case REGION_MIXED:
		return -EBUSY;
	default:
		return -ENXIO;
	}
}
EXPORT_SYMBOL_GPL(pcn_memory_is_reserved);

bool pcn_memory_claim(u64 start, u64 size, const char *name)
{
	return request_mem_region(start, size, name);
}
EXPORT_SYMBOL_GPL(pcn_memory_claim);

void pcn_memory_release(u64 start, u64 size)
{
	release_mem_region(start, size);
}
EXPORT_SYMBOL_GPL(pcn_memory_release);

int pcn_file_read(int fd, size_t max, bool kernel, void **data, size_t *size)
{
	enum kernel_read_file_id id = kernel ? READING_KEXEC_IMAGE : READING_KEXEC_INITRAMFS;
	ssize_t got;

	*data = NULL;
	got = kernel_read_file_from_fd(fd, 0, data, min_t(size_t, max, INT_MAX), NULL, id);
	if (got < 0)
		return got;
	*size = got;
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_file_read);

void pcn_file_free(void *data)
{
	vfree(data);
}
EXPORT_SYMBOL_GPL(pcn_file_free);

bool pcn_sleep_killable(unsigned int milliseconds)
{
	schedule_timeout_killable(msecs_to_jiffies(milliseconds) + 1);
	return fatal_signal_pending(current);
}
EXPORT_SYMBOL_GPL(pcn_sleep_killable);

bool pcn_capable_sys_boot(void)
{
	return capable(CAP_SYS_BOOT);
}
EXPORT_SYMBOL_GPL(pcn_capable_sys_boot);

u64 pcn_boot_time_ns(void)
{
	return ktime_get_boottime_ns();
}
EXPORT_SYMBOL_GPL(pcn_boot_time_ns);

struct pcn_end_watch {
	struct notifier_block reboot;
	struct notifier_block panic;
	void (*notify)(void *data, enum pcn_end end);
	void *data;
};

static int pcn_end_reboot(struct notifier_block *nb, unsigned long action, void *unused)
{
	struct pcn_end_watch *watch = container_of(nb, struct pcn_end_watch, reboot);

	switch (action) {
	case SYS_RESTART:
		watch->notify(watch->data, PCN_END_RESTART);
		break;
	case SYS_HALT:
		watch->notify(watch->data, PCN_END_HALT);
		break;
	case SYS_POWER_OFF:
		watch->notify(watch->data, PCN_END_POWER_OFF);
		break;
	}
	return NOTIFY_DONE;
}

static int pcn_end_panic(struct notifier_block *nb, unsigned long unused, void *message)
{
	struct pcn_end_watch *watch = container_of(nb, struct pcn_end_watch, panic);

	watch->notify(watch->data, PCN_END_PANIC);
	return NOTIFY_DONE;
}

struct pcn_end_watch *pcn_end_watch_new(void (*notify)(void *data, enum pcn_end end), void *data)
{
	struct pcn_end_watch *watch = kzalloc(sizeof(*watch), GFP_KERNEL);
	int ret;

	if (!watch)
		return ERR_PTR(-ENOMEM);
	watch->notify = notify;
	watch->data = data;
	/* All others first: the notification may not return. */
	watch->reboot.notifier_call = pcn_end_reboot;
	watch->reboot.priority = INT_MIN;
	watch->panic.notifier_call = pcn_end_panic;
	watch->panic.priority = INT_MIN;

	ret = register_reboot_notifier(&watch->reboot);
	if (ret)
		goto free;
	ret = atomic_notifier_chain_register(&panic_notifier_list, &watch->panic);
	if (ret)
		goto unregister;
	return watch;

unregister:
	unregister_reboot_notifier(&watch->reboot);
free:
	kfree(watch);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(pcn_end_watch_new);

void pcn_end_watch_free(struct pcn_end_watch *watch)
{
	atomic_notifier_chain_unregister(&panic_notifier_list, &watch->panic);
	unregister_reboot_notifier(&watch->reboot);
	kfree(watch);
}
EXPORT_SYMBOL_GPL(pcn_end_watch_free);

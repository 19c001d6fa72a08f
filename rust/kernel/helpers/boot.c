// SPDX-License-Identifier: GPL-2.0
/* See boot.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/bitmap.h>
#include <linux/capability.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/ioport.h>
#include <linux/kernel_read_file.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/numa.h>
#include <linux/panic_notifier.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "boot.h"

/*
 * Who takes a CPU or gives it back. The kernel's own locks do not cover all of either: without this, of two
 * who want the same CPU both would find it present, and the second would find it offline, as if it were just
 * that.
 */
static DEFINE_MUTEX(lend_lock);

int pcn_cpu_exists(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_possible(cpu) ? 0 : -ENODEV;
}
EXPORT_SYMBOL_GPL(pcn_cpu_exists);

static int lend(unsigned int cpu, bool *was_online)
{
	int ret;

	if (cpu >= nr_cpu_ids || !cpu_present(cpu))
		return -ENODEV;
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
	 * This must fail, for it is not present. On its way it lets the architecture see that not every
	 * present CPU is one that it has booted: x86 then stops sending interrupts to "all but self", which
	 * ask no present mask and would reach the other kernel. With another error it has not come so far.
	 */
	ret = add_cpu(cpu);
	if (ret == -EINVAL)
		return 0;
	if (ret == -EPERM)
		pr_err("popcorn: CPU %u cannot be lent: this kernel may not boot it (nosmt)\n",
		       cpu);
	set_cpu_present(cpu, true);
	if (*was_online && add_cpu(cpu) < 0)
		pr_warn("popcorn: CPU %u stays offline\n", cpu);
	return ret == -EPERM ? -EOPNOTSUPP : -EBUSY;
}

int pcn_cpu_lend(unsigned int cpu, bool *was_online)
{
	int ret = mutex_lock_killable(&lend_lock);

	if (ret)
		return ret;
	ret = lend(cpu, was_online);
	mutex_unlock(&lend_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_cpu_lend);

int pcn_cpu_take_back(unsigned int cpu, bool online)
{
	int ret;

	/* Whoever is next finds it as it was. */
	mutex_lock(&lend_lock);
	cpus_read_lock();
	set_cpu_present(cpu, true);
	cpus_read_unlock();
	ret = online ? add_cpu(cpu) : 0;
	mutex_unlock(&lend_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_cpu_take_back);

int pcn_cpus_set_online(const u32 *ids, unsigned int count)
{
	unsigned int cpu, i;
	int ret = 0;

	for_each_present_cpu(cpu)
	{
		bool wanted = false;
		int err;
		u32 id;

		if (!pcn_processor_any_id(cpu, &id))
			continue;
		for (i = 0; i < count; i++)
			wanted |= ids[i] == id;
		if (wanted == cpu_online(cpu))
			continue;
		err = wanted ? add_cpu(cpu) : remove_cpu(cpu);
		/* 1: somebody has done it meanwhile. */
		if (err < 0 && !ret)
			ret = err;
	}
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_cpus_set_online);

static bool (*guard_may)(void *data, u32 id);
static void *guard_data;
static int guard_state;
static DEFINE_MUTEX(guard_lock);

static int guard_prepare(unsigned int cpu)
{
	u32 id;

	if (pcn_processor_any_id(cpu, &id) && guard_may(guard_data, id))
		return 0;
	pr_warn_ratelimited("popcorn: CPU %u is not this kernel's\n", cpu);
	return -EPERM;
}

int pcn_cpu_guard(bool (*may)(void *data, u32 id), void *data)
{
	int ret = -EBUSY;

	mutex_lock(&guard_lock);
	if (guard_state)
		goto out;
	guard_may = may;
	guard_data = data;
	ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "popcorn:lent", guard_prepare, NULL);
	if (ret > 0) {
		guard_state = ret;
		ret = 0;
	}
out:
	mutex_unlock(&guard_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_cpu_guard);

void pcn_cpu_unguard(void)
{
	mutex_lock(&guard_lock);
	cpuhp_remove_state_nocalls(guard_state);
	guard_state = 0;
	mutex_unlock(&guard_lock);
}
EXPORT_SYMBOL_GPL(pcn_cpu_unguard);

/* Called with ascending pieces: the first that does not begin where the one before ended ends the walk. */
static int next_reserved(struct resource *res, void *data)
{
	u64 *covered = data;

	if (res->start != *covered)
		return 1;
	*covered = res->end + 1;
	return 0;
}

int pcn_memory_is_reserved(u64 start, u64 size)
{
	u64 covered = start;

	if (region_intersects(start, size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) !=
	    REGION_DISJOINT)
		return -EBUSY;
	switch (region_intersects(start, size, IORESOURCE_MEM, IORES_DESC_RESERVED)) {
	case REGION_INTERSECTS:
		break;
	case REGION_MIXED:
		return -EBUSY;
	default:
		return -ENXIO;
	}
	/* Holes, which nobody has claimed, are no matter there; but nobody says that they are memory. */
	walk_iomem_res_desc(IORES_DESC_RESERVED, IORESOURCE_MEM, start, start + size - 1, &covered,
			    next_reserved);
	return covered == start + size ? 0 : -ENXIO;
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

static DECLARE_BITMAP(low_lent, SZ_1M >> PAGE_SHIFT);
static DEFINE_SPINLOCK(low_lock);

bool pcn_low_claim(u64 start, u64 size)
{
	unsigned long first = PHYS_PFN(start), count = PHYS_PFN(size);
	bool free;

	if (first + count > SZ_1M >> PAGE_SHIFT)
		return false;
	spin_lock(&low_lock);
	free = find_next_bit(low_lent, first + count, first) >= first + count;
	if (free)
		bitmap_set(low_lent, first, count);
	spin_unlock(&low_lock);
	return free;
}
EXPORT_SYMBOL_GPL(pcn_low_claim);

void pcn_low_release(u64 start, u64 size)
{
	spin_lock(&low_lock);
	bitmap_clear(low_lent, PHYS_PFN(start), PHYS_PFN(size));
	spin_unlock(&low_lock);
}
EXPORT_SYMBOL_GPL(pcn_low_release);

bool pcn_low_is_claimed(u64 address)
{
	return address >= SZ_1M || test_bit(PHYS_PFN(address), low_lent);
}
EXPORT_SYMBOL_GPL(pcn_low_is_claimed);

struct ram_walk {
	int (*found)(void *data, u64 start, u64 size);
	void *data;
};

static int ram_walk_found(struct resource *res, void *data)
{
	struct ram_walk *walk = data;

	return walk->found(walk->data, res->start, resource_size(res));
}

int pcn_ram_walk(int (*found)(void *data, u64 start, u64 size), void *data)
{
	struct ram_walk walk = { found, data };

	return walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0, -1,
				   &walk, ram_walk_found);
}
EXPORT_SYMBOL_GPL(pcn_ram_walk);

bool pcn_ram_is_movable(u64 start, u64 size, int nid)
{
	unsigned long pfn = PHYS_PFN(start), end = PHYS_PFN(start + size);
	/* Online or not is a matter of whole sections. */
	struct page *page = pfn_to_online_page(pfn);
	struct zone *zone;

	if (!page || (nid >= 0 && page_to_nid(page) != nid))
		return false;
	zone = page_zone(page);
	for (; pfn < end; pfn++) {
		page = pfn_to_page(pfn);
		if (page_zone(page) != zone || PageReserved(page))
			return false;
		/* Free, or no head. */
		if (!page_count(page))
			continue;
		if (!PageLRU(page) && !__PageMovable(page) && !PageAnon(page))
			return false;
	}
	return true;
}
EXPORT_SYMBOL_GPL(pcn_ram_is_movable);

int pcn_cpu_numa_node(unsigned int cpu)
{
	return cpu < nr_cpu_ids ? cpu_to_node(cpu) : NUMA_NO_NODE;
}
EXPORT_SYMBOL_GPL(pcn_cpu_numa_node);

int pcn_memory_numa_node(u64 address)
{
	return phys_to_target_node(address);
}
EXPORT_SYMBOL_GPL(pcn_memory_numa_node);

int pcn_ram_take(u64 start, u64 size)
{
	return alloc_contig_range(PHYS_PFN(start), PHYS_PFN(start + size), MIGRATE_MOVABLE,
				  GFP_KERNEL | __GFP_NOWARN);
}
EXPORT_SYMBOL_GPL(pcn_ram_take);

void pcn_ram_give(u64 start, u64 size)
{
	unsigned long pfn = PHYS_PFN(start), end = PHYS_PFN(start + size);

	while (pfn < end) {
		unsigned long step = min(end - pfn, pageblock_nr_pages);

		free_contig_range(pfn, step);
		pfn += step;
		cond_resched();
	}
}
EXPORT_SYMBOL_GPL(pcn_ram_give);

int pcn_file_read(const char *path, size_t max, bool kernel, void **data, size_t *size)
{
	enum kernel_read_file_id id = kernel ? READING_KEXEC_IMAGE : READING_KEXEC_INITRAMFS;
	struct file *file;
	ssize_t got;

	*data = NULL;
	if (!*path)
		return -EINVAL;
	/* Whoever wants this holds locks: it shall not wait for the other end of a pipe. */
	file = filp_open(path, O_RDONLY | O_NONBLOCK, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	/* Those of configfs are among them; to read a file there would need them once more. */
	if (!strcmp(file_inode(file)->i_sb->s_type->name, "configfs"))
		got = -EINVAL;
	else
		got = kernel_read_file(file, 0, data, min_t(size_t, max, INT_MAX), NULL, id);
	fput(file);
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

u64 pcn_wall_clock_ns(void)
{
	return ktime_get_real_ns();
}
EXPORT_SYMBOL_GPL(pcn_wall_clock_ns);

int pcn_set_wall_clock_ns(u64 ns)
{
	struct timespec64 time = ns_to_timespec64(ns);

	return do_settimeofday64(&time);
}
EXPORT_SYMBOL_GPL(pcn_set_wall_clock_ns);

void pcn_power_off(void)
{
	orderly_poweroff(true);
}
EXPORT_SYMBOL_GPL(pcn_power_off);

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

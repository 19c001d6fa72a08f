// SPDX-License-Identifier: GPL-2.0
/* See hotplug.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/pfn.h>
#include <linux/range.h>

#include "hotplug.h"

/* The functions called here are not even declared where they are not built in: so #if, and not if. */

u64 pcn_hotplug_portion(void)
{
#if IS_ENABLED(CONFIG_MEMORY_HOTPLUG)
	return memory_block_size_bytes();
#else
	return 0;
#endif
}
EXPORT_SYMBOL_GPL(pcn_hotplug_portion);

int pcn_hotplug_add(u64 start, u64 size)
{
#if IS_ENABLED(CONFIG_MEMORY_HOTPLUG)
	struct range range = mhp_get_pluggable_range(true);
	int ret;

	if (!size || start < range.start || start > range.end || size - 1 > range.end - start)
		return -ERANGE;
	/* The name stays in the list of resources, and this module as long as the memory. */
	ret = add_memory_driver_managed(memory_add_physaddr_to_nid(start), start, size,
					"System RAM (popcorn)", MHP_NONE);
	if (ret)
		return ret;
	/*
	 * It comes online by itself, as the command line says: as movable (rust/core/boot_command_line.rs). If
	 * that was changed since, nobody here would use it.
	 */
	if (pfn_to_online_page(PHYS_PFN(start)))
		return 0;
#if IS_ENABLED(CONFIG_MEMORY_HOTREMOVE)
	if (!remove_memory(start, size))
		return -EOPNOTSUPP;
#endif
	/* It is here, and can still be brought online by hand. */
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}
EXPORT_SYMBOL_GPL(pcn_hotplug_add);

int pcn_hotplug_remove(u64 start, u64 size)
{
#if IS_ENABLED(CONFIG_MEMORY_HOTREMOVE)
	if (!pfn_valid(PHYS_PFN(start)))
		return -ENODEV;
	/*
	 * If what is in use there found no room elsewhere, the kernel would try for ever, and complain page by
	 * page. So it must be likely to, with something to spare.
	 */
	if (pfn_to_online_page(PHYS_PFN(start)) &&
	    si_mem_available() < (long)PHYS_PFN(size + size / 16))
		return -EBUSY;
	return offline_and_remove_memory(start, size);
#else
	return -EOPNOTSUPP;
#endif
}
EXPORT_SYMBOL_GPL(pcn_hotplug_remove);

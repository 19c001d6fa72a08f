// SPDX-License-Identifier: GPL-2.0
/* The module's parameters; popcorn_boot.rs reads them. */
#include <linux/moduleparam.h>
#include <linux/types.h>

unsigned long long pcn_boot_memory_base;
module_param_named(memory_base, pcn_boot_memory_base, ullong, 0444);
MODULE_PARM_DESC(
	memory_base,
	"Primary: physical address of the second kernel's memory, a multiple of 2 MiB. Reserve it with memmap=SIZE$ADDRESS.");

unsigned long long pcn_boot_memory_size;
module_param_named(memory_size, pcn_boot_memory_size, ullong, 0444);
MODULE_PARM_DESC(memory_size, "Primary: bytes of it, a multiple of 2 MiB, at least 64 MiB");

unsigned long long pcn_boot_low = 0x70000;
module_param_named(low, pcn_boot_low, ullong, 0444);
MODULE_PARM_DESC(
	low,
	"Primary: physical address of the second kernel's memory below 640 KiB (default 448 KiB). Reserve it, too.");

unsigned long long pcn_boot_low_size = 0x10000;
module_param_named(low_size, pcn_boot_low_size, ullong, 0444);
MODULE_PARM_DESC(low_size, "Primary: bytes of it (default 64 KiB)");

unsigned long long pcn_boot_status;
module_param_named(status, pcn_boot_status, ullong, 0444);
MODULE_PARM_DESC(
	status,
	"Secondary: physical address of its status page; on its command line as popcorn_boot.status");

// SPDX-License-Identifier: GPL-2.0
/* The module's parameters; popcorn_boot.rs reads them. */
#include <linux/limits.h>
#include <linux/moduleparam.h>
#include <linux/types.h>

unsigned long long pcn_boot_status;
module_param_named(status, pcn_boot_status, ullong, 0444);
MODULE_PARM_DESC(
	status,
	"Secondary: physical address of its status page; on its command line as popcorn_boot.status");

unsigned long long pcn_boot_terminal;
module_param_named(terminal, pcn_boot_terminal, ullong, 0444);
MODULE_PARM_DESC(
	terminal,
	"Secondary: physical address of its terminal; on its command line as popcorn_boot.terminal");

unsigned int pcn_boot_first_node;
module_param_named(first_node, pcn_boot_first_node, uint, 0444);
MODULE_PARM_DESC(first_node, "Primary: smallest node id that its kernels get");

unsigned int pcn_boot_last_node = UINT_MAX;
module_param_named(last_node, pcn_boot_last_node, uint, 0444);
MODULE_PARM_DESC(last_node, "Primary: largest node id that its kernels get");

// SPDX-License-Identifier: GPL-2.0
/* The module's parameters; Rust reads them with param!. */
#include <linux/moduleparam.h>

extern unsigned int pcn_net_queues;
unsigned int pcn_net_queues;
module_param_named(queues, pcn_net_queues, uint, 0444);
MODULE_PARM_DESC(queues, "queues of the interface each way, at most 8 (0: one for each processor)");

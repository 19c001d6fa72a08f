// SPDX-License-Identifier: GPL-2.0
/* The module's parameters; Rust reads them with param!. */
#include <linux/moduleparam.h>
#include <linux/types.h>

#define PARAM(name, ctype, type, value, mode, text)               \
	extern ctype popcorn_msg_##name;                          \
	ctype popcorn_msg_##name = value;                         \
	module_param_named(name, popcorn_msg_##name, type, mode); \
	MODULE_PARM_DESC(name, text)

PARAM(node, unsigned int, uint, 0, 0444, "id of this node (0: the primary)");
PARAM(peer, unsigned int, uint, 0, 0444, "id of the node with which it shares the window at shm");
PARAM(shm, unsigned long, ulong, 0, 0444, "physical address of that window (0: none yet)");
PARAM(shm_size, unsigned long, ulong, 0, 0444, "bytes of it");
PARAM(dead_ms, unsigned int, uint, 2000, 0644,
      "milliseconds from the last heartbeat of a node until it is known to be dead");
PARAM(poll_us, unsigned int, uint, 20, 0644,
      "microseconds to look for further messages or an answer before sleeping");

/* SPDX-License-Identifier: GPL-2.0 */
/* The trampoline's arguments: shared by trampoline.S and processor.c. */
#ifndef PCN_X86_TRAMPOLINE_H
#define PCN_X86_TRAMPOLINE_H

/* How far it came. */
#define PCN_TRAMPOLINE_NOT_STARTED 0
#define PCN_TRAMPOLINE_REAL_MODE   1
#define PCN_TRAMPOLINE_LONG_MODE   2
#define PCN_TRAMPOLINE_FAULT	   3 /* an exception before the kernel could take care of its own */

#define PCN_TRAMPOLINE_CODE64 0x10 /* selector of 64-bit code */

/* In its page: code and arguments, the table of exceptions, a stack that grows down from the end. */
#define PCN_TRAMPOLINE_IDT	2048
#define PCN_TRAMPOLINE_VECTORS	32
#define PCN_TRAMPOLINE_IDT_SIZE (PCN_TRAMPOLINE_VECTORS * 16)
#define PCN_TRAMPOLINE_STACK	4096

#ifndef __ASSEMBLY__
#include <linux/types.h>

struct pcn_trampoline_args {
	u32 stage;
	u32 top_table; /* physical, page-aligned */
	u64 entry; /* physical */
	u64 zero_page; /* physical */
};

extern const u8 pcn_trampoline_start[], pcn_trampoline_fault[], pcn_trampoline_end[];
extern const struct pcn_trampoline_args pcn_trampoline_args;
#endif

#endif /* PCN_X86_TRAMPOLINE_H */

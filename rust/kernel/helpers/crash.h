/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/boot/crash.rs needs from C: what this kernel leaves behind for whoever looks at its
 * memory after its end. The architecture's half is popcorn_boot/x86/crash.c.
 */
#ifndef PCN_HELPERS_CRASH_H
#define PCN_HELPERS_CRASH_H

#include <linux/types.h>

/*
 * Physical address of this kernel's VMCOREINFO note, and its bytes in @size; 0 if it has none, which is
 * so without CONFIG_VMCORE_INFO.
 */
u64 pcn_crash_note(u64 *size);

/* As many as struct user_regs_struct has. */
#define PCN_CRASH_REGISTERS 27

/*
 * The registers of this processor, in the order of struct user_regs_struct. With the ORC unwinder they
 * are those of the innermost function that is no module's, as far as they are known (instruction, stack
 * and frame pointer): a debugger then needs nothing but the kernel's own image to walk the stack. Any
 * context.
 */
void pcn_crash_registers(u64 *registers);
/* Number of this processor. Any context. */
u32 pcn_crash_cpu(void);

#endif /* PCN_HELPERS_CRASH_H */

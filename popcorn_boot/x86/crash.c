// SPDX-License-Identifier: GPL-2.0
/* See helpers/crash.h. */
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/instruction_pointer.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/vmcore_info.h>

#include <asm/asm.h>
#include <asm/ptrace.h>
#include <asm/unwind.h>
#include <asm/user.h>

#include "helpers/crash.h"

u64 pcn_crash_note(u64 *size)
{
#ifdef CONFIG_VMCORE_INFO
	*size = VMCOREINFO_NOTE_SIZE;
	return paddr_vmcoreinfo_note();
#else
	*size = 0;
	return 0;
#endif
}
EXPORT_SYMBOL_GPL(pcn_crash_note);

/* Goes up to the first function of the kernel's image; false if there is none, or no way to know. */
static bool leave_modules(struct pt_regs *regs)
{
#ifdef CONFIG_UNWINDER_ORC
	struct unwind_state state;

	unwind_start(&state, current, NULL, NULL);
	while (!unwind_done(&state)) {
		if (state.ip >= __START_KERNEL_map && state.ip < MODULES_VADDR) {
			regs->ip = state.ip;
			regs->sp = state.sp;
			regs->bp = state.bp;
			return true;
		}
		unwind_next_frame(&state);
	}
#endif
	return false;
}

void pcn_crash_registers(u64 *registers)
{
	struct user_regs_struct user = {};
	struct pt_regs regs = {};

	static_assert(sizeof(user) == PCN_CRASH_REGISTERS * sizeof(*registers));

	if (!leave_modules(&regs)) {
		regs.ip = _THIS_IP_;
		regs.sp = current_stack_pointer;
		regs.bp = (unsigned long)__builtin_frame_address(0);
	}
	user.ip = regs.ip;
	user.sp = regs.sp;
	user.bp = regs.bp;
	user.cs = __KERNEL_CS;
	user.ss = __KERNEL_DS;
	user.flags = native_save_fl();
	/* What debuggers take for "in no system call". */
	user.orig_ax = -1;
	memcpy(registers, &user, sizeof(user));
}
EXPORT_SYMBOL_GPL(pcn_crash_registers);

u32 pcn_crash_cpu(void)
{
	return raw_smp_processor_id();
}
EXPORT_SYMBOL_GPL(pcn_crash_cpu);

/* SPDX-License-Identifier: GPL-2.0 */
/* What rust/kernel/{hooks,mm,task,regs}.rs need from C: inline functions and macros of the kernel. */
#ifndef PCN_HELPERS_HOOKS_H
#define PCN_HELPERS_HOOKS_H

#include <linux/popcorn.h>
#include <linux/types.h>

struct mm_struct;
struct pt_regs;
struct task_struct;
struct vm_fault;

/* mm */
void pcn_mm_grab(struct mm_struct *mm);
void pcn_mm_drop(struct mm_struct *mm);
bool pcn_mm_get_users(struct mm_struct *mm);
void pcn_mm_put_users(struct mm_struct *mm);
void *pcn_mm_pointer(struct mm_struct *mm);
void pcn_mm_watch_syscalls(struct task_struct *task);
int pcn_mm_map(struct mm_struct *mm, unsigned long start, unsigned long end, unsigned long prot);
int pcn_mm_unmap(struct mm_struct *mm, unsigned long start, unsigned long end);

struct pcn_vma_info {
	unsigned long start;
	unsigned long end;
	unsigned long prot;
};

int pcn_mm_lookup(struct mm_struct *mm, unsigned long addr, struct pcn_vma_info *info);
int pcn_mm_touch(unsigned long addr, bool write);
unsigned long pcn_mm_brk(struct mm_struct *mm);

/* faults */
struct mm_struct *pcn_fault_mm(struct vm_fault *vmf);
unsigned long pcn_fault_address(struct vm_fault *vmf);
bool pcn_fault_is_write(struct vm_fault *vmf);

enum pcn_fault_unlocked {
	PCN_FAULT_UNLOCKED,
	PCN_FAULT_NOWAIT,
	PCN_FAULT_NO_RETRY,
};

enum pcn_fault_unlocked pcn_fault_unlock(struct vm_fault *vmf);

/* tasks */
struct task_struct *pcn_current(void);
struct mm_struct *pcn_current_mm(void);
struct pt_regs *pcn_current_regs(void);
void pcn_task_get(struct task_struct *task);
void pcn_task_put(struct task_struct *task);
struct task_struct *pcn_task_find(pid_t tid);
bool pcn_task_may_control(struct task_struct *task);
bool pcn_task_may_read(struct task_struct *task);
void *pcn_task_pointer(struct task_struct *task);
void pcn_task_notify(struct task_struct *task);
void pcn_task_interrupt(struct task_struct *task);
void pcn_task_kill(struct task_struct *task);
pid_t pcn_task_tid(struct task_struct *task);
pid_t pcn_task_tgid(struct task_struct *task);
void pcn_task_comm(struct task_struct *task, char *to);
struct task_struct *pcn_task_next_thread(struct task_struct *task, unsigned int index);
void pcn_set_comm(const char *comm);
bool pcn_rseq_abort(void);
void pcn_rseq_leave(void);
void pcn_force_signal(int signr, int code, unsigned long addr);
bool pcn_is_compat_syscall(void);
bool pcn_syscalls_watched(void);
void pcn_sleep_us(unsigned int us);
int pcn_siginfo_code(const struct kernel_siginfo *info);
unsigned long pcn_siginfo_addr(const struct kernel_siginfo *info);

#endif /* PCN_HELPERS_HOOKS_H */

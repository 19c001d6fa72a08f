// SPDX-License-Identifier: GPL-2.0
/* The C half of rust/kernel/{hooks,mm,task,regs}.rs: see hooks.h. */
#include <linux/compat.h>
#include <linux/delay.h>
#include <linux/entry-common.h>
#include <linux/export.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/resume_user_mode.h>
#include <linux/rseq.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "hooks.h"

void pcn_mm_grab(struct mm_struct *mm)
{
	mmgrab(mm);
}
EXPORT_SYMBOL_GPL(pcn_mm_grab);

void pcn_mm_drop(struct mm_struct *mm)
{
	mmdrop(mm);
}
EXPORT_SYMBOL_GPL(pcn_mm_drop);

bool pcn_mm_get_users(struct mm_struct *mm)
{
	return mmget_not_zero(mm);
}
EXPORT_SYMBOL_GPL(pcn_mm_get_users);

/* The last user tears the address space down: never in the caller's context. */
void pcn_mm_put_users(struct mm_struct *mm)
{
	mmput_async(mm);
}
EXPORT_SYMBOL_GPL(pcn_mm_put_users);

void *pcn_mm_pointer(struct mm_struct *mm)
{
	return READ_ONCE(mm->popcorn);
}
EXPORT_SYMBOL_GPL(pcn_mm_pointer);

/* Turn the system call hook on for every thread of @task's process. */
void pcn_mm_watch_syscalls(struct task_struct *task)
{
	struct task_struct *thread;

	rcu_read_lock();
	for_each_thread(task, thread)
		popcorn_set_syscall_work(thread, true);
	rcu_read_unlock();
}
EXPORT_SYMBOL_GPL(pcn_mm_watch_syscalls);

/* Borrow @mm in a kernel thread; nothing to do in one of its own tasks. */
static bool use_mm(struct mm_struct *mm)
{
	if (current->mm == mm)
		return false;
	kthread_use_mm(mm);
	return true;
}

/*
 * Map anonymous memory over what is free in [start, end); what is mapped stays.
 * Runs in a task of @mm or in a kernel thread.
 */
int pcn_mm_map(struct mm_struct *mm, unsigned long start, unsigned long end, unsigned long prot)
{
	bool borrowed = use_mm(mm);
	unsigned long at = start;
	int ret = 0;

	while (at < end) {
		struct vm_area_struct *vma;
		unsigned long gap_end = end, next = end, addr;

		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		mmap_read_lock(mm);
		vma = find_vma(mm, at);
		if (vma && vma->vm_start <= at) {
			gap_end = at;
			next = vma->vm_end;
		} else if (vma && vma->vm_start < end) {
			gap_end = vma->vm_start;
			next = vma->vm_end;
		}
		mmap_read_unlock(mm);
		if (gap_end > at) {
			addr = vm_mmap(NULL, at, gap_end - at, prot,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
					       MAP_NORESERVE,
				       0);
			/* Another thread was faster: look again. */
			if (addr == (unsigned long)-EEXIST)
				continue;
			if (IS_ERR_VALUE(addr)) {
				ret = (int)addr;
				break;
			}
		}
		at = next;
	}
	if (borrowed)
		kthread_unuse_mm(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_mm_map);

int pcn_mm_unmap(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	bool borrowed = use_mm(mm);
	int ret = 0;

	end = min(end, TASK_SIZE);
	if (start < end)
		ret = vm_munmap(start, end - start);

	if (borrowed)
		kthread_unuse_mm(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_mm_unmap);

/*
 * Describe the VMA at @addr. 0; -EFAULT none; -EOPNOTSUPP its pages cannot be
 * spread; -EAGAIN the lock is busy (it is not waited for).
 */
int pcn_mm_lookup(struct mm_struct *mm, unsigned long addr, struct pcn_vma_info *info)
{
	struct vm_area_struct *vma;
	int ret = -EFAULT;

	if (!mmap_read_trylock(mm))
		return -EAGAIN;
	vma = vma_lookup(mm, addr);
	if (!vma)
		goto out;
	ret = -EOPNOTSUPP;
	if (vma->vm_flags &
	    (VM_SHARED | VM_MAYSHARE | VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB))
		goto out;
	ret = 0;
	info->start = vma->vm_start;
	info->end = vma->vm_end;
	info->prot = (vma->vm_flags & VM_READ ? PROT_READ : 0) |
		     (vma->vm_flags & VM_WRITE ? PROT_WRITE : 0) |
		     (vma->vm_flags & VM_EXEC ? PROT_EXEC : 0);
out:
	mmap_read_unlock(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_mm_lookup);

/*
 * Fault one byte of current's memory in as its own code would. The content stays
 * (fault_in_writeable() would write a zero). The read lets a stack grow.
 */
int pcn_mm_touch(unsigned long addr, bool write)
{
	char __user *p = (char __user *)addr;
	char c;

	if (get_user(c, p))
		return -EFAULT;
	if (write && fault_in_safe_writeable(p, 1))
		return -EFAULT;
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_mm_touch);

unsigned long pcn_mm_brk(struct mm_struct *mm)
{
	return READ_ONCE(mm->brk);
}
EXPORT_SYMBOL_GPL(pcn_mm_brk);

struct mm_struct *pcn_fault_mm(struct vm_fault *vmf)
{
	return vmf->vma->vm_mm;
}
EXPORT_SYMBOL_GPL(pcn_fault_mm);

unsigned long pcn_fault_address(struct vm_fault *vmf)
{
	return vmf->address & PAGE_MASK;
}
EXPORT_SYMBOL_GPL(pcn_fault_address);

bool pcn_fault_is_write(struct vm_fault *vmf)
{
	return vmf->flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE);
}
EXPORT_SYMBOL_GPL(pcn_fault_is_write);

/* Release the lock of the VMA if the fault may be tried again. */
enum pcn_fault_unlocked pcn_fault_unlock(struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return PCN_FAULT_NO_RETRY;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return PCN_FAULT_NOWAIT;
	if (vmf->flags & FAULT_FLAG_VMA_LOCK)
		vma_end_read(vmf->vma);
	else
		mmap_read_unlock(vmf->vma->vm_mm);
	return PCN_FAULT_UNLOCKED;
}
EXPORT_SYMBOL_GPL(pcn_fault_unlock);

struct task_struct *pcn_current(void)
{
	return current;
}
EXPORT_SYMBOL_GPL(pcn_current);

struct mm_struct *pcn_current_mm(void)
{
	return current->mm;
}
EXPORT_SYMBOL_GPL(pcn_current_mm);

struct pt_regs *pcn_current_regs(void)
{
	return task_pt_regs(current);
}
EXPORT_SYMBOL_GPL(pcn_current_regs);

void pcn_task_get(struct task_struct *task)
{
	get_task_struct(task);
}
EXPORT_SYMBOL_GPL(pcn_task_get);

void pcn_task_put(struct task_struct *task)
{
	put_task_struct(task);
}
EXPORT_SYMBOL_GPL(pcn_task_put);

/* By the number that the caller's namespace knows; takes a reference. */
struct task_struct *pcn_task_find(pid_t tid)
{
	struct task_struct *task;

	rcu_read_lock();
	task = pid_task(find_vpid(tid), PIDTYPE_PID);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	return task;
}
EXPORT_SYMBOL_GPL(pcn_task_find);

bool pcn_task_may_control(struct task_struct *task)
{
	return ptrace_may_access(task, PTRACE_MODE_ATTACH_REALCREDS);
}
EXPORT_SYMBOL_GPL(pcn_task_may_control);

bool pcn_task_may_read(struct task_struct *task)
{
	return ptrace_may_access(task, PTRACE_MODE_READ_REALCREDS);
}
EXPORT_SYMBOL_GPL(pcn_task_may_read);

void *pcn_task_pointer(struct task_struct *task)
{
	return READ_ONCE(task->popcorn);
}
EXPORT_SYMBOL_GPL(pcn_task_pointer);

/* Make @task pass the user_return hook before it next runs user code. */
void pcn_task_notify(struct task_struct *task)
{
	set_notify_resume(task);
}
EXPORT_SYMBOL_GPL(pcn_task_notify);

/* As set_notify_signal(), whose wake_up_state() is not for modules. */
void pcn_task_interrupt(struct task_struct *task)
{
	struct wait_queue_entry entry = { .private = task };

	if (test_and_set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL))
		return;
	if (!default_wake_function(&entry, TASK_INTERRUPTIBLE, 0, NULL))
		kick_process(task);
}
EXPORT_SYMBOL_GPL(pcn_task_interrupt);

void pcn_task_kill(struct task_struct *task)
{
	send_sig(SIGKILL, task, 1);
}
EXPORT_SYMBOL_GPL(pcn_task_kill);

pid_t pcn_task_tid(struct task_struct *task)
{
	return task_pid_vnr(task);
}
EXPORT_SYMBOL_GPL(pcn_task_tid);

pid_t pcn_task_tgid(struct task_struct *task)
{
	return task_tgid_vnr(task);
}
EXPORT_SYMBOL_GPL(pcn_task_tgid);

void pcn_task_comm(struct task_struct *task, char *to)
{
	/* Not get_task_comm(): it wants to see an array. */
	__get_task_comm(to, TASK_COMM_LEN, task);
}
EXPORT_SYMBOL_GPL(pcn_task_comm);

/* The @index'th thread of @task's process, with a reference, or NULL. */
struct task_struct *pcn_task_next_thread(struct task_struct *task, unsigned int index)
{
	struct task_struct *thread, *found = NULL;

	rcu_read_lock();
	for_each_thread(task, thread) {
		if (!index--) {
			found = thread;
			get_task_struct(found);
			break;
		}
	}
	rcu_read_unlock();
	return found;
}
EXPORT_SYMBOL_GPL(pcn_task_next_thread);

void pcn_set_comm(const char *comm)
{
	char name[TASK_COMM_LEN];

	strscpy(name, comm, sizeof(name));
	set_task_comm(current, name);
}
EXPORT_SYMBOL_GPL(pcn_set_comm);

/*
 * To leave is to be preempted: a restartable sequence that current is in must be
 * aborted first. True: that happens in another pass of the work before user mode.
 */
bool pcn_rseq_abort(void)
{
#ifdef CONFIG_RSEQ
	if (!current->rseq)
		return false;
	rseq_migrate(current);
	return true;
#else
	return false;
#endif
}
EXPORT_SYMBOL_GPL(pcn_rseq_abort);

/*
 * Before current leaves: a library that indexes per-CPU data by the CPU number
 * in the rseq area must not use a number of this kernel elsewhere. The kernel
 * writes a real one again when the thread next runs user code here.
 */
void pcn_rseq_leave(void)
{
#ifdef CONFIG_RSEQ
	struct rseq __user *rseq = current->rseq;

	if (!rseq)
		return;
	/* A failure is found, and answered, when the thread is back. */
	if (put_user((u32)RSEQ_CPU_ID_UNINITIALIZED, &rseq->cpu_id) ||
	    put_user(0U, &rseq->cpu_id_start))
		pr_debug("rseq area of %d is not writable\n", current->pid);
	/* Also if it does not get away. */
	rseq_set_notify_resume(current);
#endif
}
EXPORT_SYMBOL_GPL(pcn_rseq_leave);

/* A trap that a thread took elsewhere: as if it had taken it here. */
void pcn_force_signal(int signr, int code, unsigned long addr)
{
	struct kernel_siginfo info;

	clear_siginfo(&info);
	info.si_signo = signr;
	info.si_code = code;
	info.si_addr = (void __user *)addr;
	force_sig_info(&info);
}
EXPORT_SYMBOL_GPL(pcn_force_signal);

int pcn_siginfo_code(const struct kernel_siginfo *info)
{
	return info->si_code;
}
EXPORT_SYMBOL_GPL(pcn_siginfo_code);

unsigned long pcn_siginfo_addr(const struct kernel_siginfo *info)
{
	return (unsigned long)info->si_addr;
}
EXPORT_SYMBOL_GPL(pcn_siginfo_addr);

void pcn_sleep_us(unsigned int us)
{
	usleep_range(us, us * 2);
}
EXPORT_SYMBOL_GPL(pcn_sleep_us);

bool pcn_is_compat_syscall(void)
{
	return in_compat_syscall();
}
EXPORT_SYMBOL_GPL(pcn_is_compat_syscall);

/* Does anything else look at current's system calls: seccomp, ptrace, audit? */
bool pcn_syscalls_watched(void)
{
	return READ_ONCE(current_thread_info()->syscall_work) & SYSCALL_WORK_ENTER &
	       ~SYSCALL_WORK_POPCORN;
}
EXPORT_SYMBOL_GPL(pcn_syscalls_watched);

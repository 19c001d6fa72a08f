// SPDX-License-Identifier: GPL-2.0
/* See kernel.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/utsname.h>
#include <linux/workqueue.h>

#include "kernel.h"

void pcn_init_completion(struct completion *completion)
{
	init_completion(completion);
}
EXPORT_SYMBOL_GPL(pcn_init_completion);

struct workqueue_struct *pcn_alloc_unbound_workqueue(const char *name, int max_active)
{
	return alloc_workqueue("%s", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, max_active, name);
}
EXPORT_SYMBOL_GPL(pcn_alloc_unbound_workqueue);

struct workqueue_struct *pcn_alloc_ordered_workqueue(const char *name)
{
	return alloc_ordered_workqueue("%s", WQ_MEM_RECLAIM, name);
}
EXPORT_SYMBOL_GPL(pcn_alloc_ordered_workqueue);

void pcn_destroy_workqueue(struct workqueue_struct *queue)
{
	destroy_workqueue(queue);
}
EXPORT_SYMBOL_GPL(pcn_destroy_workqueue);

void pcn_flush_workqueue(struct workqueue_struct *queue)
{
	flush_workqueue(queue);
}
EXPORT_SYMBOL_GPL(pcn_flush_workqueue);

void pcn_init_delayed_work(struct delayed_work *work, work_func_t function, const char *name,
			   struct lock_class_key *key)
{
	INIT_DELAYED_WORK(work, function);
	/* A lock class per place of use, not one for all of this helper's. */
	lockdep_init_map(&work->work.lockdep_map, name, key, 0);
}
EXPORT_SYMBOL_GPL(pcn_init_delayed_work);

bool pcn_schedule_delayed_work(struct delayed_work *work, unsigned long delay)
{
	return mod_delayed_work(system_unbound_wq, work, delay);
}
EXPORT_SYMBOL_GPL(pcn_schedule_delayed_work);

bool pcn_cancel_delayed_work_sync(struct delayed_work *work)
{
	return cancel_delayed_work_sync(work);
}
EXPORT_SYMBOL_GPL(pcn_cancel_delayed_work_sync);

void pcn_get_task(struct task_struct *task)
{
	get_task_struct(task);
}
EXPORT_SYMBOL_GPL(pcn_get_task);

/* Stops the thread, waits for its end, stores what it returned, drops the reference. */
void pcn_stop_kthread_put(struct task_struct *task, int *result)
{
	*result = kthread_stop_put(task);
}
EXPORT_SYMBOL_GPL(pcn_stop_kthread_put);

void pcn_heed_interrupts(void)
{
	allow_signal(SIGINT);
}
EXPORT_SYMBOL_GPL(pcn_heed_interrupts);

void pcn_interrupt_kthread(struct task_struct *task)
{
	send_sig(SIGINT, task, 1);
}
EXPORT_SYMBOL_GPL(pcn_interrupt_kthread);

void pcn_forget_interrupts(void)
{
	flush_signals(current);
}
EXPORT_SYMBOL_GPL(pcn_forget_interrupts);

bool pcn_is_foreign_memory(u64 physical, size_t size)
{
	/* memremap() warns of what the processor cannot address. */
	if (!size || (physical + size - 1) >> boot_cpu_data.x86_phys_bits)
		return false;
	return region_intersects(physical, size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) ==
	       REGION_DISJOINT;
}
EXPORT_SYMBOL_GPL(pcn_is_foreign_memory);

bool pcn_is_own_memory(u64 physical, size_t size)
{
	return region_intersects(physical, size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) ==
	       REGION_INTERSECTS;
}
EXPORT_SYMBOL_GPL(pcn_is_own_memory);

void *pcn_map_memory(u64 physical, size_t size)
{
	return memremap(physical, size, MEMREMAP_WB);
}
EXPORT_SYMBOL_GPL(pcn_map_memory);

void pcn_unmap_memory(void *address)
{
	memunmap(address);
}
EXPORT_SYMBOL_GPL(pcn_unmap_memory);

void *pcn_alloc_zeroed_pages(size_t size)
{
	return alloc_pages_exact(size, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
}
EXPORT_SYMBOL_GPL(pcn_alloc_zeroed_pages);

void pcn_free_pages(void *address, size_t size)
{
	free_pages_exact(address, size);
}
EXPORT_SYMBOL_GPL(pcn_free_pages);

bool pcn_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}
EXPORT_SYMBOL_GPL(pcn_fatal_signal_pending);

bool pcn_signal_pending(void)
{
	return signal_pending(current);
}
EXPORT_SYMBOL_GPL(pcn_signal_pending);

int pcn_current_pid(void)
{
	return task_pid_nr(current);
}
EXPORT_SYMBOL_GPL(pcn_current_pid);

int pcn_current_tgid(void)
{
	return task_tgid_nr(current);
}
EXPORT_SYMBOL_GPL(pcn_current_tgid);

/* @comm has TASK_COMM_LEN bytes. */
void pcn_current_comm(char *comm)
{
	strscpy_pad(comm, current->comm, TASK_COMM_LEN);
}
EXPORT_SYMBOL_GPL(pcn_current_comm);

bool pcn_capable_sys_admin(void)
{
	return capable(CAP_SYS_ADMIN);
}
EXPORT_SYMBOL_GPL(pcn_capable_sys_admin);

void pcn_cond_resched(void)
{
	cond_resched_tasks_rcu_qs();
}
EXPORT_SYMBOL_GPL(pcn_cond_resched);

bool pcn_need_resched(void)
{
	return need_resched();
}
EXPORT_SYMBOL_GPL(pcn_need_resched);

/* What the kernel's own high-priority workers have. */
void pcn_prefer_current(bool preferred)
{
	set_user_nice(current, preferred ? MIN_NICE : 0);
}
EXPORT_SYMBOL_GPL(pcn_prefer_current);

void pcn_sleep_ms(unsigned int ms)
{
	msleep(ms);
}
EXPORT_SYMBOL_GPL(pcn_sleep_ms);

void pcn_pause_us(unsigned int us)
{
	/* A kernel thread that pauses is no load. */
	usleep_range_state(us, 2UL * us, TASK_IDLE);
}
EXPORT_SYMBOL_GPL(pcn_pause_us);

unsigned int pcn_cpus_online(void)
{
	return num_online_cpus();
}
EXPORT_SYMBOL_GPL(pcn_cpus_online);

unsigned int pcn_cpu_numbers(void)
{
	return nr_cpu_ids;
}
EXPORT_SYMBOL_GPL(pcn_cpu_numbers);

u64 pcn_memory_bytes(void)
{
	return (u64)totalram_pages() << PAGE_SHIFT;
}
EXPORT_SYMBOL_GPL(pcn_memory_bytes);

/*
 * The lock of the name is not exported; a name that is being changed can come out torn, which harms
 * nobody: it is for people to read.
 */
void pcn_host_name(char *name, size_t size)
{
	strscpy_pad(name, init_uts_ns.name.nodename, size);
}
EXPORT_SYMBOL_GPL(pcn_host_name);

u64 pcn_random_u64(void)
{
	return get_random_u64();
}
EXPORT_SYMBOL_GPL(pcn_random_u64);

int pcn_misc_register(struct pcn_misc_device *misc, const struct file_operations *operations,
		      const char *name, unsigned int mode, struct module *owner)
{
	misc->operations = *operations;
	misc->operations.owner = owner;
	misc->operations.llseek = noop_llseek;
	misc->operations.compat_ioctl = compat_ptr_ioctl;
	misc->device = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR,
		.name = name,
		.fops = &misc->operations,
		.mode = mode,
	};
	return misc_register(&misc->device);
}
EXPORT_SYMBOL_GPL(pcn_misc_register);

void pcn_misc_deregister(struct pcn_misc_device *misc)
{
	misc_deregister(&misc->device);
}
EXPORT_SYMBOL_GPL(pcn_misc_deregister);

void pcn_rcu_read_lock(void)
{
	rcu_read_lock();
}
EXPORT_SYMBOL_GPL(pcn_rcu_read_lock);

void pcn_rcu_read_unlock(void)
{
	rcu_read_unlock();
}
EXPORT_SYMBOL_GPL(pcn_rcu_read_unlock);

void pcn_synchronize_rcu(void)
{
	synchronize_rcu();
}
EXPORT_SYMBOL_GPL(pcn_synchronize_rcu);

bool pcn_module_is_live(struct module *module)
{
	return READ_ONCE(module->state) == MODULE_STATE_LIVE;
}
EXPORT_SYMBOL_GPL(pcn_module_is_live);

bool pcn_module_get(struct module *module)
{
	return try_module_get(module);
}
EXPORT_SYMBOL_GPL(pcn_module_get);

void pcn_module_put(struct module *module)
{
	module_put(module);
}
EXPORT_SYMBOL_GPL(pcn_module_put);

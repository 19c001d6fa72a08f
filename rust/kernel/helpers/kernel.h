/* SPDX-License-Identifier: GPL-2.0 */
/* Small helpers: macros and inline functions of the kernel that bindgen cannot reach. */
#ifndef PCN_KERNEL_H
#define PCN_KERNEL_H

#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct lock_class_key;
struct task_struct;

void pcn_init_completion(struct completion *completion);

struct workqueue_struct *pcn_alloc_unbound_workqueue(const char *name, int max_active);
struct workqueue_struct *pcn_alloc_ordered_workqueue(const char *name);
void pcn_destroy_workqueue(struct workqueue_struct *queue);
void pcn_flush_workqueue(struct workqueue_struct *queue);
void pcn_init_delayed_work(struct delayed_work *work, work_func_t function, const char *name,
			   struct lock_class_key *key);
bool pcn_schedule_delayed_work(struct delayed_work *work, unsigned long delay);
bool pcn_cancel_delayed_work_sync(struct delayed_work *work);

void pcn_get_task(struct task_struct *task);
void pcn_stop_kthread_put(struct task_struct *task, int *result);
/* For a kernel thread: from now on pcn_interrupt_kthread makes its waits for a signal end. */
void pcn_heed_interrupts(void);
void pcn_interrupt_kthread(struct task_struct *task);
/* The interrupts that came so far count no more. */
void pcn_forget_interrupts(void);

/* Whether a range holds no memory that this kernel manages; else whether it is all such memory. */
bool pcn_is_foreign_memory(u64 physical, size_t size);
bool pcn_is_own_memory(u64 physical, size_t size);
void *pcn_map_memory(u64 physical, size_t size);
void pcn_unmap_memory(void *address);
void *pcn_alloc_zeroed_pages(size_t size);
void pcn_free_pages(void *address, size_t size);

bool pcn_fatal_signal_pending(void);
bool pcn_signal_pending(void);
int pcn_current_pid(void);
int pcn_current_tgid(void);
void pcn_current_comm(char *comm);
bool pcn_capable_sys_admin(void);
void pcn_cond_resched(void);
bool pcn_need_resched(void);

void pcn_sleep_ms(unsigned int ms);
/* Between that time and twice of it. */
void pcn_pause_us(unsigned int us);
void pcn_prefer_current(bool preferred);

unsigned int pcn_cpus_online(void);
unsigned int pcn_cpu_numbers(void);
u64 pcn_memory_bytes(void);
void pcn_host_name(char *name, size_t size);
u64 pcn_random_u64(void);

/* A device and its own copy of its operations, whose owner is known only at run time. */
struct pcn_misc_device {
	struct miscdevice device;
	struct file_operations operations;
};

int pcn_misc_register(struct pcn_misc_device *misc, const struct file_operations *operations,
		      const char *name, unsigned int mode, struct module *owner);
void pcn_misc_deregister(struct pcn_misc_device *misc);

void pcn_rcu_read_lock(void);
void pcn_rcu_read_unlock(void);
void pcn_synchronize_rcu(void);

/* Whether its init function has succeeded and its exit function not begun. */
bool pcn_module_is_live(struct module *module);
bool pcn_module_get(struct module *module);
void pcn_module_put(struct module *module);

#endif /* PCN_KERNEL_H */

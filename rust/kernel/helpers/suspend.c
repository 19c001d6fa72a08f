// SPDX-License-Identifier: GPL-2.0
/* See suspend.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/spinlock.h>
#include <linux/suspend.h>

#include "suspend.h"

static DEFINE_SPINLOCK(suspend_lock);
static unsigned int suspend_forbidden;
/* From the moment when nobody forbade it until all tasks run again. */
static bool suspend_begun;

int pcn_suspend_forbid(void)
{
	unsigned long flags;
	int ret = 0;

	spin_lock_irqsave(&suspend_lock, flags);
	if (suspend_begun)
		ret = -EBUSY;
	else
		suspend_forbidden++;
	spin_unlock_irqrestore(&suspend_lock, flags);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_suspend_forbid);

void pcn_suspend_forbid_more(void)
{
	unsigned long flags;

	spin_lock_irqsave(&suspend_lock, flags);
	suspend_forbidden++;
	spin_unlock_irqrestore(&suspend_lock, flags);
}
EXPORT_SYMBOL_GPL(pcn_suspend_forbid_more);

void pcn_suspend_allow(void)
{
	unsigned long flags;

	spin_lock_irqsave(&suspend_lock, flags);
	suspend_forbidden--;
	spin_unlock_irqrestore(&suspend_lock, flags);
}
EXPORT_SYMBOL_GPL(pcn_suspend_allow);

/* Whether it may begin. */
static bool suspend_begin(void)
{
	bool free;

	spin_lock_irq(&suspend_lock);
	free = !suspend_forbidden;
	suspend_begun = free;
	spin_unlock_irq(&suspend_lock);
	return free;
}

static void suspend_end(void)
{
	spin_lock_irq(&suspend_lock);
	suspend_begun = false;
	spin_unlock_irq(&suspend_lock);
}

static int suspend_notify(struct notifier_block *nb, unsigned long action, void *unused)
{
	switch (action) {
	case PM_SUSPEND_PREPARE:
	case PM_HIBERNATION_PREPARE:
	case PM_RESTORE_PREPARE:
		if (suspend_begin())
			return NOTIFY_OK;
		pr_err("popcorn: this machine does not sleep while several kernels share it\n");
		return notifier_from_errno(-EBUSY);
	case PM_POST_SUSPEND:
	case PM_POST_HIBERNATION:
	case PM_POST_RESTORE:
		suspend_end();
		return NOTIFY_OK;
	default:
		return NOTIFY_DONE;
	}
}

static struct notifier_block suspend_notifier = { .notifier_call = suspend_notify };

int pcn_suspend_watch(void)
{
	return register_pm_notifier(&suspend_notifier);
}
EXPORT_SYMBOL_GPL(pcn_suspend_watch);

void pcn_suspend_unwatch(void)
{
	unregister_pm_notifier(&suspend_notifier);
	/* It may have gone in the middle of one. */
	suspend_end();
}
EXPORT_SYMBOL_GPL(pcn_suspend_unwatch);

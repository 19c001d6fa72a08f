// SPDX-License-Identifier: GPL-2.0
/* See terminal.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>

#include "terminal.h"

#ifdef CONFIG_HVC_DRIVER

/* Private to drivers/tty; Kbuild adds its folder for this file. */
#include <hvc_console.h>

/* Any number that no other driver of this kind uses. */
#define PCN_TERMINAL_NUMBER 0x50434e
/* What a program can print before it has to wait. */
#define PCN_TERMINAL_BUFFER 4096

static struct {
	atomic_t taken;
	struct pcn_terminal_operations operations;
	void *data;
	struct hvc_struct *hvc;
} pcn_terminal;

static ssize_t pcn_terminal_get_chars(u32 number, u8 *buffer, size_t count)
{
	return pcn_terminal.operations.read(pcn_terminal.data, buffer, count);
}

static ssize_t pcn_terminal_put_chars(u32 number, const u8 *buffer, size_t count)
{
	return pcn_terminal.operations.write(pcn_terminal.data, buffer, count);
}

/* The terminal was opened. */
static int pcn_terminal_add(struct hvc_struct *hvc, int unused)
{
	struct winsize size;
	unsigned long flags;

	/*
	 * There is no interrupt, but somebody who looks more often than the driver's own thread, which
	 * after some idle time does so once in two seconds.
	 */
	hvc->irq_requested = 1;

	/* Every first open makes a new tty, which does not know the size. */
	spin_lock_irqsave(&hvc->lock, flags);
	size = hvc->ws;
	if (size.ws_row || size.ws_col)
		__hvc_resize(hvc, size);
	spin_unlock_irqrestore(&hvc->lock, flags);
	return 0;
}

/* It was closed, or hung up. */
static void pcn_terminal_del(struct hvc_struct *hvc, int unused)
{
	hvc->irq_requested = 0;
}

static const struct hv_ops pcn_terminal_hv_ops = {
	.get_chars = pcn_terminal_get_chars,
	.put_chars = pcn_terminal_put_chars,
	.notifier_add = pcn_terminal_add,
	.notifier_del = pcn_terminal_del,
	.notifier_hangup = pcn_terminal_del,
};

int pcn_terminal_register(const struct pcn_terminal_operations *operations, void *data)
{
	struct hvc_struct *hvc;

	if (atomic_cmpxchg(&pcn_terminal.taken, 0, 1))
		return -EBUSY;
	pcn_terminal.operations = *operations;
	pcn_terminal.data = data;
	/* From here on it can be opened. */
	hvc = hvc_alloc(PCN_TERMINAL_NUMBER, 0, &pcn_terminal_hv_ops, PCN_TERMINAL_BUFFER);
	if (IS_ERR(hvc)) {
		atomic_set_release(&pcn_terminal.taken, 0);
		return PTR_ERR(hvc);
	}
	smp_store_release(&pcn_terminal.hvc, hvc);
	return hvc->index;
}
EXPORT_SYMBOL_GPL(pcn_terminal_register);

void pcn_terminal_kick(void)
{
	if (smp_load_acquire(&pcn_terminal.hvc))
		hvc_kick();
}
EXPORT_SYMBOL_GPL(pcn_terminal_kick);

bool pcn_terminal_resize(u16 rows, u16 columns, u16 width, u16 height)
{
	struct hvc_struct *hvc = smp_load_acquire(&pcn_terminal.hvc);
	struct winsize size = {
		.ws_row = rows,
		.ws_col = columns,
		.ws_xpixel = width,
		.ws_ypixel = height,
	};

	if (!hvc)
		return false;
	hvc_resize(hvc, size);
	return true;
}
EXPORT_SYMBOL_GPL(pcn_terminal_resize);

#else /* !CONFIG_HVC_DRIVER */

int pcn_terminal_register(const struct pcn_terminal_operations *operations, void *data)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_terminal_register);

void pcn_terminal_kick(void)
{
}
EXPORT_SYMBOL_GPL(pcn_terminal_kick);

bool pcn_terminal_resize(u16 rows, u16 columns, u16 width, u16 height)
{
	return false;
}
EXPORT_SYMBOL_GPL(pcn_terminal_resize);

#endif

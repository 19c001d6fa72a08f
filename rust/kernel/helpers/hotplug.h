/* SPDX-License-Identifier: GPL-2.0 */
/* What rust/kernel/boot/hotplug.rs needs from C: memory that comes while this kernel runs, and goes. */
#ifndef PCN_HELPERS_HOTPLUG_H
#define PCN_HELPERS_HOTPLUG_H

#include <linux/types.h>

/* Bytes in which this kernel takes memory in; 0 if it cannot. Sleeps. */
u64 pcn_hotplug_portion(void);
/*
 * Takes [@start, @start + @size) in, one portion, which nobody else uses. -EOPNOTSUPP this kernel cannot, or
 * was told to leave it unused; -ERANGE it cannot map that address; -EEXIST it has it or a device is there;
 * -ENOMEM. Sleeps.
 */
int pcn_hotplug_add(u64 start, u64 size);
/*
 * Gives one portion back, which pcn_hotplug_add has taken in, and moves what is there elsewhere. -EOPNOTSUPP this
 * kernel cannot, -EBUSY something cannot be moved or there is no room for it, -EINTR a signal came first,
 * -ENOMEM. Sleeps, for ever if something there is in use and no signal comes.
 */
int pcn_hotplug_remove(u64 start, u64 size);

#endif /* PCN_HELPERS_HOTPLUG_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/boot/suspend.rs needs from C: while something of this machine belongs to another
 * kernel the machine must not sleep. Without CONFIG_PM_SLEEP it never does.
 */
#ifndef PCN_HELPERS_SUSPEND_H
#define PCN_HELPERS_SUSPEND_H

/*
 * From now on until the matching pcn_suspend_allow() this kernel does not suspend or hibernate. -EBUSY if
 * it is about to. Any context.
 */
int pcn_suspend_forbid(void);
/* Once more, while it is forbidden already. Any context. */
void pcn_suspend_forbid_more(void);
void pcn_suspend_allow(void);

/* Without this nothing of it has an effect. May sleep; once at a time. */
int pcn_suspend_watch(void);
void pcn_suspend_unwatch(void);

#endif /* PCN_HELPERS_SUSPEND_H */

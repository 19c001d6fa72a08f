/* SPDX-License-Identifier: GPL-2.0 */
/* An interrupt that another kernel of this machine can raise here, and raising one there. */
#ifndef PCN_DOORBELL_H
#define PCN_DOORBELL_H

#include <linux/types.h>

struct pcn_doorbell;

/* What happens to a doorbell; @data is that of its making. */
struct pcn_doorbell_ops {
	/* It rang; or may have rung at a processor that is no more. Any context but NMI. */
	void (*rang)(void *data);
	/*
	 * From now on it is received as @vector on the processor @apic_id, nowhere if @vector is 0. Calls come one
	 * at a time, and may sleep; a CPU may be going offline, so not for what waits for that.
	 */
	void (*placed)(void *data, u32 vector, u32 apic_id);
};

/* Allocates an interrupt for @ops, which stays. An ERR_PTR on failure. May sleep. */
struct pcn_doorbell *pcn_doorbell_new(const struct pcn_doorbell_ops *ops, void *data);
/* None of its functions runs any more when it returns. May sleep. */
void pcn_doorbell_free(struct pcn_doorbell *doorbell);
/*
 * Says by its ops where it is received now, on a processor that all kernels can name, and again each time that a CPU
 * went offline, before anybody can take that CPU; true: somewhere. Look again from time to time, users can move it,
 * too. May sleep.
 */
bool pcn_doorbell_publish(struct pcn_doorbell *doorbell);
/* Says by its ops that it is received nowhere, and no more until it is published again. May sleep. */
void pcn_doorbell_withdraw(struct pcn_doorbell *doorbell);
/*
 * Raises @vector at the processor @apic_id, whichever kernel it runs; nothing if this kernel's local APIC cannot
 * name that. Any context but NMI.
 */
void pcn_doorbell_send(u32 vector, u32 apic_id);
/* Keeps interrupts of this processor off until the next pcn_irq_restore() with the result. */
unsigned long pcn_irq_save(void);
void pcn_irq_restore(unsigned long flags);

#endif /* PCN_DOORBELL_H */

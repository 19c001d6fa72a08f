/* SPDX-License-Identifier: GPL-2.0 */
/* An interrupt that another kernel of this machine can raise here, and raising one there. */
#ifndef PCN_DOORBELL_H
#define PCN_DOORBELL_H

#include <linux/types.h>

struct pcn_doorbell;

/*
 * Allocates an interrupt and calls @handler(@data) in hard interrupt context whenever it comes.
 * An ERR_PTR on failure. May sleep.
 */
struct pcn_doorbell *pcn_doorbell_new(void (*handler)(void *data), void *data);
/* No handler runs any more when it returns. May sleep. */
void pcn_doorbell_free(struct pcn_doorbell *doorbell);
/* Where it is received now, on a processor that all kernels can name; it moves when its processor goes offline. */
int pcn_doorbell_address(struct pcn_doorbell *doorbell, u32 *vector, u32 *apic_id);
/*
 * Raises @vector at the processor @apic_id, whichever kernel it runs; nothing if this kernel's local APIC cannot
 * name that. Any context but NMI.
 */
void pcn_doorbell_send(u32 vector, u32 apic_id);

#endif /* PCN_DOORBELL_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/netdev.rs needs from C: an Ethernet interface that hands its packets to a thread. On a kernel
 * without networks there is none: -EOPNOTSUPP.
 */
#ifndef PCN_HELPERS_NETDEV_H
#define PCN_HELPERS_NETDEV_H

#include <linux/types.h>

#include "packet.h"

struct pcn_interface;

enum pcn_interface_limits {
	/* Packets from the network stack that wait for the thread of a queue. */
	PCN_TRANSMIT_MAX = 128,
	/* Bytes, with all that packets need, that wait there to be relayed, and for the network stack. */
	PCN_RELAY_BYTES_MAX = 4 << 20,
	PCN_RECEIVE_BYTES_MAX = 4 << 20,
};

/* Of all queues, since the interface was made. */
struct pcn_interface_totals {
	u64 rx_packets;
	u64 rx_bytes;
	u64 rx_errors;
	u64 rx_dropped;
	u64 tx_packets;
	u64 tx_bytes;
	u64 tx_errors;
	u64 tx_dropped;
};

/* The driver's side. None of these sleeps. */
struct pcn_interface_operations {
	/* There is something to take at @queue. Bottom halves are off, or interrupts. */
	void (*queued)(const void *data, unsigned int queue);
	void (*totals)(const void *data, struct pcn_interface_totals *totals);
	/* Names that each queue has, each a string that stays, and its value at @queue. */
	const char *(*statistic_name)(const void *data, unsigned int index);
	u64 (*statistic)(const void *data, unsigned int queue, unsigned int index);
	unsigned int statistics;
};

/*
 * Makes an interface, unknown to others yet, with so many queues each way; @name may have a %d. @data is the
 * first argument of all operations. An error pointer: -ENOMEM, -EINVAL, -EOPNOTSUPP. Sleeps.
 */
struct pcn_interface *pcn_interface_create(const char *name, const char *driver, const u8 *address,
					   unsigned int mtu_max, unsigned int queues,
					   const struct pcn_interface_operations *operations,
					   const void *data);
/* Not registered any more, or never: it goes, with all packets that are left. Sleeps. */
void pcn_interface_destroy(struct pcn_interface *interface);

/* From here on it can be used, without a carrier. Takes the rtnl lock; sleeps. */
int pcn_interface_register(struct pcn_interface *interface);
/* Nobody uses it when this is done: no operation runs or will. Takes the rtnl lock; sleeps. */
void pcn_interface_unregister(struct pcn_interface *interface);

/* Any context but NMI. */
void pcn_interface_set_carrier(struct pcn_interface *interface, bool carrier);

/* Whether there is something to take. Any context. */
bool pcn_interface_has_packets(struct pcn_interface *interface, unsigned int queue);
/*
 * The next packet of @queue, or NULL, from the network stack and to be relayed by turns; @tag: what
 * pcn_interface_relay() was given, or 0. Process context.
 */
struct pcn_packet *pcn_interface_take(struct pcn_interface *interface, unsigned int queue,
				      u64 *tag);
/* Puts a packet there; false if there are too many, and it is dropped. Process context. */
bool pcn_interface_relay(struct pcn_interface *interface, unsigned int queue,
			 struct pcn_packet *packet, u64 tag);
/*
 * Hands a packet, which no network stack had before, to this one; false if the interface is down, too many wait
 * there or it has no Ethernet header, and it is dropped. Process context.
 */
bool pcn_interface_receive(struct pcn_interface *interface, unsigned int queue,
			   struct pcn_packet *packet);

#endif /* PCN_HELPERS_NETDEV_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/netdev.rs needs from C: an Ethernet interface that hands its packets to a thread, and the
 * packets themselves. On a kernel without networks there are none: -EOPNOTSUPP.
 */
#ifndef PCN_HELPERS_NETDEV_H
#define PCN_HELPERS_NETDEV_H

#include <linux/types.h>

struct pcn_interface;
/* A struct sk_buff. */
struct pcn_packet;

enum pcn_interface_limits {
	/* Packets from the network stack that wait for the thread of a queue. */
	PCN_TRANSMIT_MAX = 128,
	/* Bytes, with all that packets need, that wait there to be relayed, and for the network stack. */
	PCN_RELAY_BYTES_MAX = 4 << 20,
	PCN_RECEIVE_BYTES_MAX = 4 << 20,
	/* Parts of a packet that pcn_packet_parts() tells at once. */
	PCN_PARTS_MAX = 17,
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

/* What is left to do with a packet: the fields of struct virtio_net_hdr that matter here, in the CPU's order. */
struct pcn_offload {
	/* VIRTIO_NET_HDR_F_* */
	u8 flags;
	/* VIRTIO_NET_HDR_GSO_* */
	u8 gso_type;
	u16 gso_size;
	u16 csum_start;
	u16 csum_offset;
};

enum pcn_offload_values {
	PCN_CHECKSUM_MISSING = 1,
	PCN_CHECKSUM_RIGHT = 2,
	PCN_SEGMENTS_NONE = 0,
	PCN_SEGMENTS_TCP4 = 1,
	PCN_SEGMENTS_TCP6 = 4,
	PCN_SEGMENTS_UDP = 5,
	PCN_SEGMENTS_CONGESTION = 0x80,
};

struct pcn_part {
	const void *start;
	size_t length;
};

/* A packet with room for so many bytes, which hold anything; or NULL. Does not sleep. */
struct pcn_packet *pcn_packet_new(unsigned int length);
/* Another one with the same bytes, and the same left to do; or NULL. Does not sleep. */
struct pcn_packet *pcn_packet_copy(const struct pcn_packet *packet);
/* It has got to where it should, or not. Any context. */
void pcn_packet_consume(struct pcn_packet *packet);
void pcn_packet_drop(struct pcn_packet *packet);

/* From its Ethernet header on. */
unsigned int pcn_packet_length(const struct pcn_packet *packet);
/* Copies in or out, at @offset; -EFAULT if that is not all inside. */
int pcn_packet_write(struct pcn_packet *packet, unsigned int offset, const void *from,
		     unsigned int length);
int pcn_packet_read(const struct pcn_packet *packet, unsigned int offset, void *to,
		    unsigned int length);
/*
 * Where the bytes from @offset on are, at most @length of them and as many as lie in PCN_PARTS_MAX parts; how
 * many parts. 0: somebody may write to them meanwhile, or they cannot be told; they can be read by pcn_packet_read().
 */
unsigned int pcn_packet_parts(const struct pcn_packet *packet, unsigned int offset,
			      unsigned int length, struct pcn_part *parts);
/* -EINVAL: it is to be cut in a way that @offload cannot say. */
int pcn_packet_offload(const struct pcn_packet *packet, struct pcn_offload *offload);
/*
 * For a packet that is complete and was not handed on. Checks against the bytes of the packet what the network
 * stack relies on, for what @offload says may be from anybody; -EINVAL.
 */
int pcn_packet_set_offload(struct pcn_packet *packet, const struct pcn_offload *offload);

#endif /* PCN_HELPERS_NETDEV_H */

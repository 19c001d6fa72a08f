/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/netdev/packet.rs needs from C: packets of the network stack. On a kernel without networks there
 * are none.
 */
#ifndef PCN_HELPERS_PACKET_H
#define PCN_HELPERS_PACKET_H

#include <linux/types.h>

/* A struct sk_buff. */
struct pcn_packet;

enum pcn_packet_limits {
	/* Parts that pcn_packet_parts() tells at once. */
	PCN_PARTS_MAX = 17,
};

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
/* The same packet once more, for who only reads it; or NULL. Does not sleep. */
struct pcn_packet *pcn_packet_share(const struct pcn_packet *packet);
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

#endif /* PCN_HELPERS_PACKET_H */

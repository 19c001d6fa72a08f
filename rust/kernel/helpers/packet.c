// SPDX-License-Identifier: GPL-2.0
/* See packet.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/errno.h>
#include <linux/export.h>

#include "packet.h"
#include "packet_private.h"

#ifdef CONFIG_NET

#include <linux/netdevice.h>
#include <linux/virtio_byteorder.h>
#include <linux/virtio_net.h>

static_assert(PCN_CHECKSUM_MISSING == VIRTIO_NET_HDR_F_NEEDS_CSUM);
static_assert(PCN_CHECKSUM_RIGHT == VIRTIO_NET_HDR_F_DATA_VALID);
static_assert(PCN_SEGMENTS_NONE == VIRTIO_NET_HDR_GSO_NONE);
static_assert(PCN_SEGMENTS_TCP4 == VIRTIO_NET_HDR_GSO_TCPV4);
static_assert(PCN_SEGMENTS_TCP6 == VIRTIO_NET_HDR_GSO_TCPV6);
static_assert(PCN_SEGMENTS_UDP == VIRTIO_NET_HDR_GSO_UDP_L4);
static_assert(PCN_SEGMENTS_CONGESTION == VIRTIO_NET_HDR_GSO_ECN);

/* The network stack reads the headers here; the rest is in pages. */
#define PCN_PACKET_LINEAR 256

struct pcn_packet *pcn_packet_new(unsigned int length)
{
	unsigned int linear = min(length, PCN_PACKET_LINEAR);
	const unsigned int headroom = NET_SKB_PAD + NET_IP_ALIGN;
	struct sk_buff *skb;
	int error;

	skb = alloc_skb_with_frags(headroom + linear, length - linear, PAGE_ALLOC_COSTLY_ORDER,
				   &error, GFP_ATOMIC | __GFP_NOWARN);
	if (!skb)
		return NULL;
	skb_reserve(skb, headroom);
	skb_put(skb, linear);
	skb->len += length - linear;
	skb->data_len = length - linear;
	return pcn_to_packet(skb);
}
EXPORT_SYMBOL_GPL(pcn_packet_new);

struct pcn_packet *pcn_packet_copy(const struct pcn_packet *packet)
{
	/* No clone: packets that are merged (GRO) lose what clones share. */
	return pcn_to_packet(skb_copy(pcn_to_skb(packet), GFP_ATOMIC | __GFP_NOWARN));
}
EXPORT_SYMBOL_GPL(pcn_packet_copy);

struct pcn_packet *pcn_packet_share(const struct pcn_packet *packet)
{
	return pcn_to_packet(skb_clone(pcn_to_skb(packet), GFP_ATOMIC | __GFP_NOWARN));
}
EXPORT_SYMBOL_GPL(pcn_packet_share);

void pcn_packet_consume(struct pcn_packet *packet)
{
	dev_consume_skb_any(pcn_to_skb(packet));
}
EXPORT_SYMBOL_GPL(pcn_packet_consume);

void pcn_packet_drop(struct pcn_packet *packet)
{
	dev_kfree_skb_any(pcn_to_skb(packet));
}
EXPORT_SYMBOL_GPL(pcn_packet_drop);

unsigned int pcn_packet_length(const struct pcn_packet *packet)
{
	return pcn_to_skb(packet)->len;
}
EXPORT_SYMBOL_GPL(pcn_packet_length);

int pcn_packet_write(struct pcn_packet *packet, unsigned int offset, const void *from,
		     unsigned int length)
{
	if (offset > INT_MAX || length > INT_MAX)
		return -EFAULT;
	return skb_store_bits(pcn_to_skb(packet), offset, from, length);
}
EXPORT_SYMBOL_GPL(pcn_packet_write);

int pcn_packet_read(const struct pcn_packet *packet, unsigned int offset, void *to,
		    unsigned int length)
{
	if (offset > INT_MAX || length > INT_MAX)
		return -EFAULT;
	return skb_copy_bits(pcn_to_skb(packet), offset, to, length);
}
EXPORT_SYMBOL_GPL(pcn_packet_read);

unsigned int pcn_packet_parts(const struct pcn_packet *packet, unsigned int offset,
			      unsigned int length, struct pcn_part *parts)
{
	const struct sk_buff *skb = pcn_to_skb(packet);
	unsigned int here = 0, count = 0;
	int i;

	/* Pages that a program still has may change; lists of packets are none of what we said we can. */
	if (skb_has_shared_frag(skb) || skb_has_frag_list(skb) || !skb_frags_readable(skb))
		return 0;
	for (i = -1; i < skb_shinfo(skb)->nr_frags && length; i++) {
		const skb_frag_t *frag = i < 0 ? NULL : &skb_shinfo(skb)->frags[i];
		unsigned int size = frag ? skb_frag_size(frag) : skb_headlen(skb);
		unsigned int skip = offset - here;
		const void *start;

		if (skip >= size) {
			here += size;
			continue;
		}
		if (count == PCN_PARTS_MAX)
			break;
		start = frag ? skb_frag_address_safe(frag) : skb->data;
		if (!start)
			return 0;
		parts[count].start = start + skip;
		parts[count].length = min(size - skip, length);
		length -= parts[count].length;
		offset += parts[count].length;
		here += size;
		count++;
	}
	return count;
}
EXPORT_SYMBOL_GPL(pcn_packet_parts);

int pcn_packet_offload(const struct pcn_packet *packet, struct pcn_offload *offload)
{
	struct virtio_net_hdr header;

	if (virtio_net_hdr_from_skb(pcn_to_skb(packet), &header, true, true, 0))
		return -EINVAL;
	offload->flags = header.flags;
	offload->gso_type = header.gso_type;
	offload->gso_size = __virtio16_to_cpu(true, header.gso_size);
	offload->csum_start = __virtio16_to_cpu(true, header.csum_start);
	offload->csum_offset = __virtio16_to_cpu(true, header.csum_offset);
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_packet_offload);

int pcn_packet_set_offload(struct pcn_packet *packet, const struct pcn_offload *offload)
{
	struct sk_buff *skb = pcn_to_skb(packet);
	const struct virtio_net_hdr header = {
		.flags = offload->flags,
		.gso_type = offload->gso_type,
		.gso_size = __cpu_to_virtio16(true, offload->gso_size),
		.csum_start = __cpu_to_virtio16(true, offload->csum_start),
		.csum_offset = __cpu_to_virtio16(true, offload->csum_offset),
	};

	if (offload->flags & PCN_CHECKSUM_RIGHT)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	/* The checks that all need who take packets from a virtual machine. */
	return virtio_net_hdr_to_skb(skb, &header, true);
}
EXPORT_SYMBOL_GPL(pcn_packet_set_offload);

#else /* !CONFIG_NET */

/* There is no packet, so nobody has one to call the other functions with. */

struct pcn_packet *pcn_packet_new(unsigned int length)
{
	return NULL;
}
EXPORT_SYMBOL_GPL(pcn_packet_new);

struct pcn_packet *pcn_packet_copy(const struct pcn_packet *packet)
{
	return NULL;
}
EXPORT_SYMBOL_GPL(pcn_packet_copy);

struct pcn_packet *pcn_packet_share(const struct pcn_packet *packet)
{
	return NULL;
}
EXPORT_SYMBOL_GPL(pcn_packet_share);

void pcn_packet_consume(struct pcn_packet *packet)
{
}
EXPORT_SYMBOL_GPL(pcn_packet_consume);

void pcn_packet_drop(struct pcn_packet *packet)
{
}
EXPORT_SYMBOL_GPL(pcn_packet_drop);

unsigned int pcn_packet_length(const struct pcn_packet *packet)
{
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_packet_length);

int pcn_packet_write(struct pcn_packet *packet, unsigned int offset, const void *from,
		     unsigned int length)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_packet_write);

int pcn_packet_read(const struct pcn_packet *packet, unsigned int offset, void *to,
		    unsigned int length)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_packet_read);

unsigned int pcn_packet_parts(const struct pcn_packet *packet, unsigned int offset,
			      unsigned int length, struct pcn_part *parts)
{
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_packet_parts);

int pcn_packet_offload(const struct pcn_packet *packet, struct pcn_offload *offload)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_packet_offload);

int pcn_packet_set_offload(struct pcn_packet *packet, const struct pcn_offload *offload)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_packet_set_offload);

#endif

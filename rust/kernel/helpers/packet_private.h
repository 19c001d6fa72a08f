/* SPDX-License-Identifier: GPL-2.0 */
/* What a packet is, for netdev.c and packet.c alone. */
#ifndef PCN_HELPERS_PACKET_PRIVATE_H
#define PCN_HELPERS_PACKET_PRIVATE_H

#include <linux/skbuff.h>

struct pcn_packet;

static inline struct sk_buff *pcn_to_skb(const struct pcn_packet *packet)
{
	return (struct sk_buff *)packet;
}

static inline struct pcn_packet *pcn_to_packet(struct sk_buff *skb)
{
	return (struct pcn_packet *)skb;
}

#endif /* PCN_HELPERS_PACKET_PRIVATE_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * See netdev.h. All is exported, for inlined Rust in other modules calls it.
 *
 * A packet that the network stack sends is put on the list of its queue, from which a thread takes it: messages
 * are sent in process context. When the list is long the queue is stopped; the thread wakes it. A packet that
 * comes is put on another list of its queue, which the network stack polls (NAPI), by default in a thread of
 * its own: so many packets are merged that arrive one by one, and who delivers them is not held up.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>

#include "netdev.h"
#include "packet_private.h"

#ifdef CONFIG_NET

#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>

/* Packets that came and wait; who sent them is not accounted for their memory. The list's lock covers all. */
struct pcn_packets {
	struct sk_buff_head list;
	unsigned int bytes;
	unsigned int bytes_max;
	bool open;
};

struct pcn_interface_queue {
	struct sk_buff_head transmit;
	struct pcn_packets relay;
	/* Whose turn it is. */
	bool relay_next;
	struct pcn_packets receive;
	struct napi_struct napi;
};

struct pcn_interface {
	struct net_device *device;
	struct pcn_interface_operations operations;
	const void *data;
	const char *driver;
	bool registered;
	unsigned int queues;
	struct pcn_interface_queue queue[] __counted_by(queues);
};

struct pcn_relayed {
	u64 tag;
};
static_assert(sizeof(struct pcn_relayed) <= sizeof_field(struct sk_buff, cb));

static void pcn_packets_init(struct pcn_packets *packets, unsigned int bytes_max, bool open)
{
	skb_queue_head_init(&packets->list);
	packets->bytes = 0;
	packets->bytes_max = bytes_max;
	packets->open = open;
}

static bool pcn_packets_add(struct pcn_packets *packets, struct sk_buff *skb)
{
	bool added;

	spin_lock_bh(&packets->list.lock);
	added = packets->open && packets->bytes < packets->bytes_max;
	if (added) {
		__skb_queue_tail(&packets->list, skb);
		packets->bytes += skb->truesize;
	}
	spin_unlock_bh(&packets->list.lock);
	return added;
}

static struct sk_buff *pcn_packets_take(struct pcn_packets *packets)
{
	struct sk_buff *skb;

	spin_lock_bh(&packets->list.lock);
	skb = __skb_dequeue(&packets->list);
	if (skb)
		packets->bytes -= skb->truesize;
	spin_unlock_bh(&packets->list.lock);
	return skb;
}

static void pcn_packets_set_open(struct pcn_packets *packets, bool open)
{
	spin_lock_bh(&packets->list.lock);
	packets->open = open;
	spin_unlock_bh(&packets->list.lock);
}

static void pcn_packets_purge(struct pcn_packets *packets)
{
	struct sk_buff *skb;

	while ((skb = pcn_packets_take(packets)))
		kfree_skb(skb);
}

/* --- the interface, as the network stack sees it --- */

static netdev_tx_t pcn_interface_start_xmit(struct sk_buff *skb, struct net_device *device)
{
	struct pcn_interface *interface = netdev_priv(device);
	unsigned int number = skb_get_queue_mapping(skb);
	struct pcn_interface_queue *queue = &interface->queue[number];

	skb_tx_timestamp(skb);
	/* Those who wait for it to go do not wait for the thread. */
	nf_reset_ct(skb);
	skb_queue_tail(&queue->transmit, skb);
	if (skb_queue_len_lockless(&queue->transmit) >= PCN_TRANSMIT_MAX) {
		netif_stop_subqueue(device, number);
		/* Pairs with the barrier in pcn_interface_take(). */
		smp_mb();
		if (skb_queue_len_lockless(&queue->transmit) <= PCN_TRANSMIT_MAX / 2)
			netif_start_subqueue(device, number);
	}
	interface->operations.queued(interface->data, number);
	return NETDEV_TX_OK;
}

static int pcn_interface_poll(struct napi_struct *napi, int budget)
{
	struct pcn_interface_queue *queue = container_of(napi, struct pcn_interface_queue, napi);
	struct sk_buff *skb;
	int done;

	for (done = 0; done < budget; done++) {
		skb = pcn_packets_take(&queue->receive);
		if (!skb) {
			/* Who adds one after this schedules another poll. */
			napi_complete_done(napi, done);
			break;
		}
		napi_gro_receive(napi, skb);
	}
	return done;
}

static int pcn_interface_open(struct net_device *device)
{
	struct pcn_interface *interface = netdev_priv(device);
	unsigned int i;

	for (i = 0; i < interface->queues; i++) {
		napi_enable(&interface->queue[i].napi);
		pcn_packets_set_open(&interface->queue[i].receive, true);
	}
	netif_tx_start_all_queues(device);
	return 0;
}

static int pcn_interface_stop(struct net_device *device)
{
	struct pcn_interface *interface = netdev_priv(device);
	unsigned int i;

	netif_tx_stop_all_queues(device);
	for (i = 0; i < interface->queues; i++) {
		pcn_packets_set_open(&interface->queue[i].receive, false);
		napi_disable(&interface->queue[i].napi);
		pcn_packets_purge(&interface->queue[i].receive);
		skb_queue_purge(&interface->queue[i].transmit);
	}
	return 0;
}

static void pcn_interface_get_stats64(struct net_device *device, struct rtnl_link_stats64 *stats)
{
	struct pcn_interface *interface = netdev_priv(device);
	struct pcn_interface_totals totals = {};

	interface->operations.totals(interface->data, &totals);
	stats->rx_packets = totals.rx_packets;
	stats->rx_bytes = totals.rx_bytes;
	stats->rx_errors = totals.rx_errors;
	stats->rx_dropped = totals.rx_dropped;
	stats->tx_packets = totals.tx_packets;
	stats->tx_bytes = totals.tx_bytes;
	stats->tx_errors = totals.tx_errors;
	stats->tx_dropped = totals.tx_dropped;
}

/* Without one for the address: it is what the node is known by. */
static const struct net_device_ops pcn_interface_device_operations = {
	.ndo_open = pcn_interface_open,
	.ndo_stop = pcn_interface_stop,
	.ndo_start_xmit = pcn_interface_start_xmit,
	.ndo_get_stats64 = pcn_interface_get_stats64,
	.ndo_validate_addr = eth_validate_addr,
};

static void pcn_interface_get_drvinfo(struct net_device *device, struct ethtool_drvinfo *info)
{
	struct pcn_interface *interface = netdev_priv(device);

	strscpy(info->driver, interface->driver, sizeof(info->driver));
}

static int pcn_interface_get_sset_count(struct net_device *device, int set)
{
	struct pcn_interface *interface = netdev_priv(device);

	if (set != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return interface->queues * interface->operations.statistics;
}

static void pcn_interface_get_strings(struct net_device *device, u32 set, u8 *to)
{
	struct pcn_interface *interface = netdev_priv(device);
	const struct pcn_interface_operations *operations = &interface->operations;
	unsigned int i, k;

	if (set != ETH_SS_STATS)
		return;
	for (i = 0; i < interface->queues; i++)
		for (k = 0; k < operations->statistics; k++)
			ethtool_sprintf(&to, "queue%u_%s", i,
					operations->statistic_name(interface->data, k));
}

static void pcn_interface_get_ethtool_stats(struct net_device *device, struct ethtool_stats *stats,
					    u64 *to)
{
	struct pcn_interface *interface = netdev_priv(device);
	const struct pcn_interface_operations *operations = &interface->operations;
	unsigned int i, k;

	for (i = 0; i < interface->queues; i++)
		for (k = 0; k < operations->statistics; k++)
			*to++ = operations->statistic(interface->data, i, k);
}

static void pcn_interface_get_channels(struct net_device *device, struct ethtool_channels *channels)
{
	struct pcn_interface *interface = netdev_priv(device);

	channels->max_rx = interface->queues;
	channels->rx_count = interface->queues;
	channels->max_tx = interface->queues;
	channels->tx_count = device->real_num_tx_queues;
}

/* What comes chooses its queue at the other end: all of this end's are there at any time. */
static int pcn_interface_set_channels(struct net_device *device, struct ethtool_channels *channels)
{
	struct pcn_interface *interface = netdev_priv(device);

	if (channels->rx_count != interface->queues || !channels->tx_count)
		return -EINVAL;
	return netif_set_real_num_tx_queues(device, channels->tx_count);
}

static const struct ethtool_ops pcn_interface_ethtool_operations = {
	.get_drvinfo = pcn_interface_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_sset_count = pcn_interface_get_sset_count,
	.get_strings = pcn_interface_get_strings,
	.get_ethtool_stats = pcn_interface_get_ethtool_stats,
	.get_channels = pcn_interface_get_channels,
	.set_channels = pcn_interface_set_channels,
	.get_ts_info = ethtool_op_get_ts_info,
};

/* --- the interface, as its driver sees it --- */

struct pcn_interface *pcn_interface_create(const char *name, const char *driver, const u8 *address,
					   unsigned int mtu_max, unsigned int queues,
					   const struct pcn_interface_operations *operations,
					   const void *data)
{
	const netdev_features_t features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM |
					   NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN |
					   NETIF_F_GSO_UDP_L4;
	struct pcn_interface *interface;
	struct net_device *device;
	unsigned int i;

	if (!queues || queues > U16_MAX)
		return ERR_PTR(-EINVAL);
	device = alloc_netdev_mqs(struct_size(interface, queue, queues), name, NET_NAME_ENUM,
				  ether_setup, queues, queues);
	if (!device)
		return ERR_PTR(-ENOMEM);
	interface = netdev_priv(device);
	interface->device = device;
	interface->operations = *operations;
	interface->data = data;
	interface->driver = driver;
	interface->queues = queues;

	device->netdev_ops = &pcn_interface_device_operations;
	device->ethtool_ops = &pcn_interface_ethtool_operations;
	eth_hw_addr_set(device, address);
	device->max_mtu = mtu_max;
	device->hw_features = features;
	device->vlan_features = features;
	/* Whoever sent it, what it says of a packet is looked at when it comes. */
	device->features = features | NETIF_F_HIGHDMA | NETIF_F_GSO_ROBUST;
	/* netpoll sends where nobody may be woken. */
	device->priv_flags |= IFF_DISABLE_NETPOLL;
	/* A packet is on our list, which it can be only once: pktgen would send the same one again and again. */
	device->priv_flags &= ~IFF_TX_SKB_SHARING;

	for (i = 0; i < queues; i++) {
		struct pcn_interface_queue *queue = &interface->queue[i];

		skb_queue_head_init(&queue->transmit);
		pcn_packets_init(&queue->relay, PCN_RELAY_BYTES_MAX, true);
		pcn_packets_init(&queue->receive, PCN_RECEIVE_BYTES_MAX, false);
		netif_napi_add(device, &queue->napi, pcn_interface_poll);
	}
	netif_carrier_off(device);
	return interface;
}
EXPORT_SYMBOL_GPL(pcn_interface_create);

void pcn_interface_destroy(struct pcn_interface *interface)
{
	unsigned int i;

	for (i = 0; i < interface->queues; i++) {
		struct pcn_interface_queue *queue = &interface->queue[i];

		skb_queue_purge(&queue->transmit);
		pcn_packets_purge(&queue->relay);
		pcn_packets_purge(&queue->receive);
	}
	/* With its NAPI structures. */
	free_netdev(interface->device);
}
EXPORT_SYMBOL_GPL(pcn_interface_destroy);

int pcn_interface_register(struct pcn_interface *interface)
{
	int result;

	rtnl_lock();
	result = register_netdevice(interface->device);
	if (!result) {
		interface->registered = true;
		/* If there are no threads, softirqs do it. */
		dev_set_threaded(interface->device, true);
	}
	rtnl_unlock();
	return result;
}
EXPORT_SYMBOL_GPL(pcn_interface_register);

void pcn_interface_unregister(struct pcn_interface *interface)
{
	if (!interface->registered)
		return;
	interface->registered = false;
	unregister_netdev(interface->device);
}
EXPORT_SYMBOL_GPL(pcn_interface_unregister);

void pcn_interface_set_carrier(struct pcn_interface *interface, bool carrier)
{
	if (carrier)
		netif_carrier_on(interface->device);
	else
		netif_carrier_off(interface->device);
}
EXPORT_SYMBOL_GPL(pcn_interface_set_carrier);

bool pcn_interface_has_packets(struct pcn_interface *interface, unsigned int queue)
{
	return !skb_queue_empty_lockless(&interface->queue[queue].transmit) ||
	       !skb_queue_empty_lockless(&interface->queue[queue].relay.list);
}
EXPORT_SYMBOL_GPL(pcn_interface_has_packets);

struct pcn_packet *pcn_interface_take(struct pcn_interface *interface, unsigned int number,
				      u64 *tag)
{
	struct pcn_interface_queue *queue = &interface->queue[number];
	struct net_device *device = interface->device;
	struct sk_buff *skb = NULL;

	*tag = 0;
	if (READ_ONCE(queue->relay_next))
		skb = pcn_packets_take(&queue->relay);
	if (!skb) {
		skb = skb_dequeue(&queue->transmit);
		if (skb) {
			WRITE_ONCE(queue->relay_next, true);
			/* Pairs with the barrier in pcn_interface_start_xmit(). */
			smp_mb();
			if (__netif_subqueue_stopped(device, number) && netif_running(device) &&
			    skb_queue_len_lockless(&queue->transmit) <= PCN_TRANSMIT_MAX / 2)
				netif_wake_subqueue(device, number);
			return pcn_to_packet(skb);
		}
		skb = pcn_packets_take(&queue->relay);
	}
	WRITE_ONCE(queue->relay_next, false);
	if (!skb)
		return NULL;
	*tag = ((struct pcn_relayed *)skb->cb)->tag;
	return pcn_to_packet(skb);
}
EXPORT_SYMBOL_GPL(pcn_interface_take);

bool pcn_interface_relay(struct pcn_interface *interface, unsigned int number,
			 struct pcn_packet *packet, u64 tag)
{
	struct pcn_interface_queue *queue = &interface->queue[number];
	struct sk_buff *skb = pcn_to_skb(packet);

	((struct pcn_relayed *)skb->cb)->tag = tag;
	if (pcn_packets_add(&queue->relay, skb))
		return true;
	kfree_skb(skb);
	return false;
}
EXPORT_SYMBOL_GPL(pcn_interface_relay);

bool pcn_interface_receive(struct pcn_interface *interface, unsigned int number,
			   struct pcn_packet *packet)
{
	struct net_device *device = interface->device;
	struct pcn_interface_queue *queue = &interface->queue[number];
	struct sk_buff *skb = pcn_to_skb(packet);
	bool taken;

	if (!pskb_may_pull(skb, ETH_HLEN)) {
		kfree_skb(skb);
		return false;
	}
	if (skb->ip_summed == CHECKSUM_UNNECESSARY && !(device->features & NETIF_F_RXCSUM))
		skb->ip_summed = CHECKSUM_NONE;
	skb->protocol = eth_type_trans(skb, device);
	skb_record_rx_queue(skb, number);

	/* So that the poll, if it is not in a thread, runs afterwards. */
	local_bh_disable();
	taken = pcn_packets_add(&queue->receive, skb);
	/* One that was disabled meanwhile is not scheduled. */
	if (taken)
		napi_schedule(&queue->napi);
	local_bh_enable();
	if (!taken)
		kfree_skb(skb);
	return taken;
}
EXPORT_SYMBOL_GPL(pcn_interface_receive);

#else /* !CONFIG_NET */

/* There is no interface, so nobody has one to call the other functions with. */

struct pcn_interface *pcn_interface_create(const char *name, const char *driver, const u8 *address,
					   unsigned int mtu_max, unsigned int queues,
					   const struct pcn_interface_operations *operations,
					   const void *data)
{
	return ERR_PTR(-EOPNOTSUPP);
}
EXPORT_SYMBOL_GPL(pcn_interface_create);

void pcn_interface_destroy(struct pcn_interface *interface)
{
}
EXPORT_SYMBOL_GPL(pcn_interface_destroy);

int pcn_interface_register(struct pcn_interface *interface)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_interface_register);

void pcn_interface_unregister(struct pcn_interface *interface)
{
}
EXPORT_SYMBOL_GPL(pcn_interface_unregister);

void pcn_interface_set_carrier(struct pcn_interface *interface, bool carrier)
{
}
EXPORT_SYMBOL_GPL(pcn_interface_set_carrier);

bool pcn_interface_has_packets(struct pcn_interface *interface, unsigned int queue)
{
	return false;
}
EXPORT_SYMBOL_GPL(pcn_interface_has_packets);

struct pcn_packet *pcn_interface_take(struct pcn_interface *interface, unsigned int queue, u64 *tag)
{
	return NULL;
}
EXPORT_SYMBOL_GPL(pcn_interface_take);

bool pcn_interface_relay(struct pcn_interface *interface, unsigned int queue,
			 struct pcn_packet *packet, u64 tag)
{
	return false;
}
EXPORT_SYMBOL_GPL(pcn_interface_relay);

bool pcn_interface_receive(struct pcn_interface *interface, unsigned int queue,
			   struct pcn_packet *packet)
{
	return false;
}
EXPORT_SYMBOL_GPL(pcn_interface_receive);

#endif

// SPDX-License-Identifier: GPL-2.0
/* See connections.h. */
#include <linux/export.h>
#include <linux/string.h>

#include "connections.h"

#ifdef CONFIG_INET

#include <linux/jiffies.h>
#include <linux/spinlock.h>
#include <linux/tcp.h>
#include <linux/timer.h>
#include <net/inet_connection_sock.h>
#include <net/inet_hashtables.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>

/* What the timers go by, whoever has set it, and not what was said to set. */
static bool pcn_is_as_asked(const struct sock *sk, const struct pcn_socket_options *asked)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return sock_flag(sk, SOCK_KEEPOPEN) && timer_pending(&inet_csk(sk)->icsk_keepalive_timer) &&
	       keepalive_time_when(tp) == asked->keep_idle * HZ &&
	       keepalive_intvl_when(tp) == asked->keep_interval * HZ &&
	       keepalive_probes(tp) == asked->keep_count &&
	       READ_ONCE(inet_csk(sk)->icsk_user_timeout) == asked->user_timeout &&
	       READ_ONCE(sk->sk_priority) == asked->priority;
}

void pcn_connections_find(u16 port, bool accepted, const struct pcn_socket_options *asked,
			  struct pcn_connections *found)
{
	struct inet_hashinfo *all = init_net.ipv4.tcp_death_row.hashinfo;
	const struct hlist_nulls_node *node;
	const struct sock *sk;
	unsigned int slot;

	memset(found, 0, sizeof(*found));
	for (slot = 0; slot <= all->ehash_mask; slot++) {
		struct hlist_nulls_head *chain = &all->ehash[slot].chain;
		spinlock_t *lock = inet_ehash_lockp(all, slot);

		if (hlist_nulls_empty(chain))
			continue;
		spin_lock_bh(lock);
		sk_nulls_for_each(sk, node, chain) {
			/* In another state it may be less than a whole socket. */
			if (sk->sk_state != TCP_ESTABLISHED || !net_eq(sock_net(sk), &init_net) ||
			    (accepted ? sk->sk_num : ntohs(sk->sk_dport)) != port)
				continue;
			found->all++;
			if (tcp_sk(sk)->nonagle & TCP_NAGLE_OFF)
				found->at_once++;
			if (pcn_is_as_asked(sk, asked))
				found->as_asked++;
		}
		spin_unlock_bh(lock);
	}
}

#else /* !CONFIG_INET */

void pcn_connections_find(u16 port, bool accepted, const struct pcn_socket_options *asked,
			  struct pcn_connections *found)
{
	memset(found, 0, sizeof(*found));
}

#endif /* CONFIG_INET */
EXPORT_SYMBOL_GPL(pcn_connections_find);

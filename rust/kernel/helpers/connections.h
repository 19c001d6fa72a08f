/* SPDX-License-Identifier: GPL-2.0 */
/* What is in force on this kernel's TCP connections; for tests. */
#ifndef PCN_CONNECTIONS_H
#define PCN_CONNECTIONS_H

#include <linux/types.h>

#include "socket.h"

/* How many there are, and of how many that holds. */
struct pcn_connections {
	u32 all;
	/* TCP_NODELAY. */
	u32 at_once;
	/* SO_KEEPALIVE, with a timer that runs, and all that was asked for. */
	u32 as_asked;
};

/*
 * The ends of the established connections to @port, in the initial network namespace: those of who has accepted them,
 * else those of who has connected. Looks at all connections. Process context.
 */
void pcn_connections_find(u16 port, bool accepted, const struct pcn_socket_options *asked,
			  struct pcn_connections *found);

#endif /* PCN_CONNECTIONS_H */

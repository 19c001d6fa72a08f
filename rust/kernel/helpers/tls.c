// SPDX-License-Identifier: GPL-2.0
/*
 * See tls.h. All but the end is exported, for inlined Rust in other modules calls it.
 *
 * Who owns what in a handshake. The request refers to the socket's file; so does tlshd once it has accepted it, by a
 * descriptor, which may last longer than we wait. The file is ours all the time, so the socket is there; what tlshd
 * still does on one that is shut down fails.
 *
 * How it ends, each way exactly once, by a flag of the request that is tested and set:
 *
 * - It is completed, from a generic netlink message of tlshd: pcn_handshake_done() runs, with the answer.
 * - We cancel it, tls_handshake_cancel() says true: then pcn_handshake_done() has not run and never will, so our memory
 *   is ours again. But tlshd may be accepting it right now: handshake_nl_accept_doit() takes the request off its list
 *   and then uses it, the peer's name that we gave, and the socket, all without a reference of its own. So we must
 *   not give any of them up before it is through: pcn_netlink_barrier().
 * - We cancel too late, it says false: the flag was set, and pcn_handshake_done() runs or is about to, with nothing in
 *   between that waits. We wait for it.
 *
 * So when pcn_tls_handshake() returns, pcn_handshake_done() has done all that it does, but may not have returned: after
 * complete() there are instructions of this module's that a processor that was interrupted there may yet have to
 * execute. Before the module's text goes pcn_tls_exit() waits for those.
 *
 * pcn_netlink_barrier(): genl_rcv() holds a semaphore (cb_lock in net/netlink/genetlink.c) for reading around each
 * message that any generic netlink family handles. Requests are accepted and completed in such handlers and nowhere
 * else, but for the end of a network namespace, and ours is the initial one, which has none. To register a family takes
 * that semaphore for writing: so, whatever comes of it, each handler that had begun is through. We try to register one
 * whose name is taken, that of handshakes itself, which changes nothing and announces nothing.
 */
#include <linux/errno.h>
#include <linux/export.h>

#include "key.h"
#include "socket.h"
#include "tls.h"

#ifdef CONFIG_NET_HANDSHAKE

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/key.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/string.h>
#include <net/genetlink.h>
#include <net/handshake.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/tls.h>
#include <uapi/linux/handshake.h>

/* How long until we see that the socket was shut down, or nobody wants it any more. */
#define PCN_SLICE (HZ / 20)

struct pcn_handshake {
	struct completion done;
	bool has_keys;
	int status;
	key_serial_t peer;
	/* That one, with our reference, if it is a certificate's. */
	struct key *certificate;
};

static bool pcn_handshake_begun;

static void pcn_netlink_barrier(void)
{
	static DEFINE_MUTEX(lock);
	static struct genl_family family = {
		.name = HANDSHAKE_FAMILY_NAME,
		.version = HANDSHAKE_FAMILY_VERSION,
		.module = THIS_MODULE,
	};

	mutex_lock(&lock);
	/* Nobody has taken the name only if there are no handshakes at all. */
	if (!genl_register_family(&family))
		genl_unregister_family(&family);
	mutex_unlock(&lock);
}

static void pcn_handshake_done(void *data, int status, key_serial_t peer)
{
	struct pcn_handshake *handshake = data;
	struct key *certificate;

	handshake->status = status;
	handshake->peer = peer;
	/*
	 * tlshd puts certificates into a keyring that all its handshakes share, by the name of the peer's host, so the
	 * next of that name takes the place of this one: it is ours now or never. It says one number for each certificate
	 * of the chain, the peer's own first, also if it could not be kept: so this is never that of another certificate,
	 * of which the peer need not have the private key.
	 */
	if (!status && !handshake->has_keys && peer > 0) {
		certificate = pcn_certificate_get(peer);
		if (!IS_ERR(certificate))
			handshake->certificate = certificate;
	}
	/* Nothing of it is touched after this. */
	complete(&handshake->done);
}

/* Whether tlshd has made the kernel encrypt and decrypt. */
static bool pcn_tls_is_on(struct sock *sk)
{
	const struct tcp_ulp_ops *ulp;
	const struct tls_context *context;
	bool is_on = false;

	lock_sock(sk);
	ulp = inet_csk(sk)->icsk_ulp_ops;
	if (ulp && !strcmp(ulp->name, "tls")) {
		context = tls_get_ctx(sk);
		is_on = context && context->tx_conf != TLS_BASE && context->rx_conf != TLS_BASE;
	}
	release_sock(sk);
	return is_on;
}

static int pcn_handshake_begin(const struct pcn_tls_parameters *parameters,
			       const struct tls_handshake_args *args)
{
	if (parameters->has_keys && parameters->is_server)
		return tls_server_hello_psk(args, GFP_KERNEL);
	if (parameters->has_keys)
		return tls_client_hello_psk(args, GFP_KERNEL);
	if (parameters->is_server)
		return tls_server_hello_x509(args, GFP_KERNEL);
	return tls_client_hello_x509(args, GFP_KERNEL);
}

static int pcn_handshake_wait(struct pcn_socket *socket, struct pcn_handshake *handshake,
			      const struct pcn_tls_parameters *parameters)
{
	unsigned long end = jiffies + msecs_to_jiffies(min_t(u32, parameters->timeout_ms, INT_MAX));
	long left;

	for (;;) {
		left = wait_for_completion_killable_timeout(&handshake->done, PCN_SLICE);
		if (left > 0)
			return 0;
		if (left < 0)
			return -EINTR;
		if (pcn_socket_is_shut_down(socket))
			return -ESHUTDOWN;
		if (parameters->should_end(parameters->data))
			return -ECANCELED;
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
	}
}

int pcn_tls_handshake(struct pcn_socket *socket, const struct pcn_tls_parameters *parameters,
		      s32 *peer, struct key **certificate)
{
	struct pcn_handshake handshake = {
		.done = COMPLETION_INITIALIZER_ONSTACK(handshake.done),
		.has_keys = parameters->has_keys,
		.status = -EIO,
		.peer = TLS_NO_PEERID,
	};
	struct socket *inner = pcn_socket_inner(socket);
	struct tls_handshake_args args = {
		.ta_sock = inner,
		.ta_done = pcn_handshake_done,
		.ta_data = &handshake,
		.ta_peername = parameters->peer_name,
		.ta_timeout_ms = parameters->timeout_ms,
		.ta_keyring = parameters->keyring,
		.ta_my_cert = parameters->certificate,
		.ta_my_privkey = parameters->private_key,
		.ta_num_peerids = min_t(u32, parameters->key_count, PCN_TLS_KEYS_MAX),
	};
	int error;

	BUILD_BUG_ON(PCN_TLS_KEYS_MAX != ARRAY_SIZE(args.ta_my_peerids));
	memcpy(args.ta_my_peerids, parameters->keys, sizeof(args.ta_my_peerids));
	WRITE_ONCE(pcn_handshake_begun, true);

	error = pcn_handshake_begin(parameters, &args);
	if (error)
		goto failed;
	error = pcn_handshake_wait(socket, &handshake, parameters);
	if (error) {
		/* tlshd gives up soon if it is at it; it must not hold up those who come next. */
		pcn_socket_shut_down(socket);
		if (tls_handshake_cancel(inner->sk))
			pcn_netlink_barrier();
		else
			wait_for_completion(&handshake.done);
		pcn_certificate_put(handshake.certificate);
		return error;
	}
	error = handshake.status;
	/* A failure has either sign: kernels differ in how they pass on what tlshd says, and what they say themselves. */
	if (error > 0)
		error = -error;
	if (error)
		goto failed;
	error = -EPROTO;
	if (!pcn_tls_is_on(inner->sk))
		goto failed;
	*peer = handshake.peer;
	*certificate = handshake.certificate;
	pcn_socket_set_tls(socket);
	return 0;

failed:
	pcn_certificate_put(handshake.certificate);
	pcn_socket_shut_down(socket);
	return error;
}
EXPORT_SYMBOL_GPL(pcn_tls_handshake);

void pcn_tls_exit(void)
{
	if (READ_ONCE(pcn_handshake_begun))
		pcn_netlink_barrier();
}

#else /* !CONFIG_NET_HANDSHAKE */

int pcn_tls_handshake(struct pcn_socket *socket, const struct pcn_tls_parameters *parameters,
		      s32 *peer, struct key **certificate)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_tls_handshake);

void pcn_tls_exit(void)
{
}

#endif

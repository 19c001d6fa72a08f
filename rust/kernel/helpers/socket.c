// SPDX-License-Identifier: GPL-2.0
/*
 * See socket.h. All is exported, for inlined Rust in other modules calls it.
 *
 * How a socket tells that something happened. The usual way of a user in the kernel is to replace the functions in
 * struct sock (sk_data_ready, ...). Here it is an entry in the socket's wait queue, as epoll has one:
 *
 * - kTLS replaces those functions, too, and at another time: what it calls when a record is complete, or when there
 *   is room for one, is what it found there, not what was put there later. The wait queue is woken in the end,
 *   whoever stands before it.
 * - A socket that is accepted begins as a copy of the listening one, with its functions. A wait queue is its own.
 * - An entry runs with the queue's lock held: when it is off the queue, nobody is in its function any more, neither
 *   with our data nor in the text of this module.
 *
 * The queue itself cannot be slept on by whom only fatal signals may wake, because the network wakes interruptible
 * tasks only; so the entry wakes a queue of ours.
 *
 * Lock classes: sockets from sock_create_kern() have their own ("k-sk_lock-AF_INET"), apart from those of users. Other
 * users in the kernel give theirs yet another, with keys in their modules. Then lockdep keeps the module loaded until
 * the last such socket is gone (sk_owner_set()), which after a close is when a peer that may be dead has acknowledged
 * it; and there is nothing to tell apart, as no lock is taken, and no user memory touched, below the lock of a socket
 * of ours.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "socket.h"

#ifdef CONFIG_INET

#include <linux/atomic.h>
#include <linux/bvec.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/minmax.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tcp.h>
#include <linux/tls.h>
#include <linux/uio.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/tls_prot.h>

/* For what was sent to be acknowledged, until somebody says otherwise. */
#define PCN_USER_TIMEOUT_MS 10000

struct pcn_socket {
	/* Belongs to socket->file. */
	struct socket *socket;
	/* Who waits for any event. */
	struct wait_queue_head queue;
	/* In the socket's queue; its lock protects the next two. */
	struct wait_queue_entry entry;
	const struct pcn_socket_operations *operations;
	void *data;
	bool is_shut_down;
	bool has_tls;
};

/* What the network says that happened; the rest of what can be asked for is of no use to us. */
static u32 pcn_events(__poll_t mask)
{
	u32 events = 0;

	if (mask & (EPOLLIN | EPOLLRDNORM))
		events |= PCN_SOCKET_READABLE;
	if (mask & (EPOLLOUT | EPOLLWRNORM))
		events |= PCN_SOCKET_WRITABLE;
	/* That the peer sends no more, EPOLLRDHUP, is something to read. */
	if (mask & (EPOLLERR | EPOLLHUP))
		events |= PCN_SOCKET_ENDED;
	return events;
}

static int pcn_socket_woken(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key)
{
	struct pcn_socket *socket = container_of(entry, struct pcn_socket, entry);
	__poll_t mask = key_to_poll(key);
	u32 events;

	/* A change of state names no events: look at all. Failures concern both sides. */
	events = pcn_events(mask);
	if (!mask || (events & PCN_SOCKET_ENDED))
		events = PCN_SOCKET_READABLE | PCN_SOCKET_WRITABLE | PCN_SOCKET_ENDED;
	if (!events)
		return 0;
	wake_up_all(&socket->queue);
	if (socket->operations)
		socket->operations->woken(socket->data, events);
	/* It is no exclusive one, so nobody counts it. */
	return 0;
}

/* Takes over @inner, which goes if this fails. */
static struct pcn_socket *pcn_socket_wrap(struct socket *inner)
{
	struct pcn_socket *socket;
	struct sock *sk = inner->sk;
	struct file *file;

	socket = kzalloc(sizeof(*socket), GFP_KERNEL);
	if (!socket) {
		sock_release(inner);
		return ERR_PTR(-ENOMEM);
	}
	/* The handshake of TLS gives it to a process. Blocking, as such a process expects. */
	file = sock_alloc_file(inner, O_CLOEXEC, NULL);
	if (IS_ERR(file)) {
		/* It has released the socket. */
		kfree(socket);
		return ERR_CAST(file);
	}
	socket->socket = inner;
	init_waitqueue_head(&socket->queue);
	init_waitqueue_func_entry(&socket->entry, pcn_socket_woken);

	/*
	 * Without a reference to its network namespace, a socket's timers end when it is closed: it would send what was not
	 * acknowledged by then never again, and be there for ever. A connection has it from who listened.
	 */
	if (!sk->sk_net_refcnt)
		sk_net_refcnt_upgrade(sk);
	lock_sock(sk);
	/*
	 * Whoever sends may be what others wait for to get memory: never wait for it to be written out. What cannot
	 * be had is tried again.
	 */
	sk->sk_allocation = GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN;
	/* We may be in a page fault of a task that is sending itself. */
	sk->sk_use_task_frag = false;
	release_sock(sk);
	/*
	 * Who connects and is sent away never gets to pcn_socket_set_options(). What was sent to him, and that this side
	 * closes, would be tried again for minutes after that, for somebody who may have made hundreds of connections and
	 * answers nothing. It is not negative, so this does not fail.
	 */
	tcp_sock_set_user_timeout(sk, PCN_USER_TIMEOUT_MS);
	tcp_sock_set_nodelay(sk);

	add_wait_queue(sk_sleep(sk), &socket->entry);
	return socket;
}

struct pcn_socket *pcn_socket_new(bool ipv6)
{
	struct socket *inner;
	int error;

	if (!pcn_in_kernel_thread())
		return ERR_PTR(-EPERM);
	error = sock_create_kern(&init_net, ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP,
				 &inner);
	if (error)
		return ERR_PTR(error);
	return pcn_socket_wrap(inner);
}
EXPORT_SYMBOL_GPL(pcn_socket_new);

void pcn_socket_free(struct pcn_socket *socket)
{
	struct sock *sk = socket->socket->sk;

	/* The queue lives as long as the file. */
	remove_wait_queue(sk_sleep(sk), &socket->entry);
	if (socket->operations)
		socket->operations->release(socket->data);
	/*
	 * A process that has the file, too, has no use for it; and a listening socket's port is free now, however late
	 * the file goes.
	 */
	if (!socket->is_shut_down)
		pcn_socket_shut_down(socket);
	/* Now, not some time later: nothing that waits for us is needed to close a socket. */
	__fput_sync(socket->socket->file);
	kfree(socket);
}
EXPORT_SYMBOL_GPL(pcn_socket_free);

struct socket *pcn_socket_inner(struct pcn_socket *socket)
{
	return socket->socket;
}
EXPORT_SYMBOL_GPL(pcn_socket_inner);

void pcn_socket_set_tls(struct pcn_socket *socket)
{
	smp_store_release(&socket->has_tls, true);
}
EXPORT_SYMBOL_GPL(pcn_socket_set_tls);

int pcn_socket_set_options(struct pcn_socket *socket, const struct pcn_socket_options *options)
{
	struct sock *sk = socket->socket->sk;
	int error;

	error = tcp_sock_set_keepidle(sk, min_t(u32, options->keep_idle, INT_MAX));
	if (!error)
		error = tcp_sock_set_keepintvl(sk, min_t(u32, options->keep_interval, INT_MAX));
	if (!error)
		error = tcp_sock_set_keepcnt(sk, min_t(u32, options->keep_count, INT_MAX));
	if (!error)
		error = tcp_sock_set_user_timeout(sk, min_t(u32, options->user_timeout, INT_MAX));
	if (error)
		return error;
	sock_set_keepalive(sk);
	sock_set_priority(sk, options->priority);
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_socket_set_options);

static int pcn_address_encode(const struct pcn_address *address, struct sockaddr_storage *storage)
{
	struct sockaddr_in *in = (struct sockaddr_in *)storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	memset(storage, 0, sizeof(*storage));
	if (address->ipv6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(address->port);
		memcpy(&in6->sin6_addr, address->octets, sizeof(in6->sin6_addr));
		return sizeof(*in6);
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(address->port);
	memcpy(&in->sin_addr, address->octets, sizeof(in->sin_addr));
	return sizeof(*in);
}

static int pcn_address_decode(const struct sockaddr_storage *storage, struct pcn_address *address)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;

	memset(address, 0, sizeof(*address));
	switch (storage->ss_family) {
	case AF_INET:
		memcpy(address->octets, &in->sin_addr, sizeof(in->sin_addr));
		address->port = ntohs(in->sin_port);
		return 0;
	case AF_INET6:
		memcpy(address->octets, &in6->sin6_addr, sizeof(in6->sin6_addr));
		address->port = ntohs(in6->sin6_port);
		address->ipv6 = true;
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}

int pcn_socket_listen(struct pcn_socket *socket, const struct pcn_address *address, u32 backlog)
{
	struct sockaddr_storage storage;
	int length, error;

	/* Connections of an earlier life may still be ending. */
	sock_set_reuseaddr(socket->socket->sk);
	length = pcn_address_encode(address, &storage);
	error = kernel_bind(socket->socket, (struct sockaddr *)&storage, length);
	if (!error)
		error = kernel_listen(socket->socket, min_t(u32, backlog, SOMAXCONN));
	return error;
}
EXPORT_SYMBOL_GPL(pcn_socket_listen);

struct pcn_socket *pcn_socket_accept(struct pcn_socket *socket)
{
	struct socket *inner;
	int error;

	if (!pcn_in_kernel_thread())
		return ERR_PTR(-EPERM);
	if (READ_ONCE(socket->is_shut_down))
		return ERR_PTR(-ESHUTDOWN);
	error = kernel_accept(socket->socket, &inner, O_NONBLOCK);
	if (error)
		return ERR_PTR(error);
	return pcn_socket_wrap(inner);
}
EXPORT_SYMBOL_GPL(pcn_socket_accept);

int pcn_socket_connect(struct pcn_socket *socket, const struct pcn_address *address)
{
	struct sockaddr_storage storage;
	int length;

	if (READ_ONCE(socket->is_shut_down))
		return -ESHUTDOWN;
	length = pcn_address_encode(address, &storage);
	return kernel_connect(socket->socket, (struct sockaddr *)&storage, length, O_NONBLOCK);
}
EXPORT_SYMBOL_GPL(pcn_socket_connect);

int pcn_socket_address(struct pcn_socket *socket, bool peer, struct pcn_address *address)
{
	struct sockaddr_storage storage = {};
	int length;

	if (peer)
		length = kernel_getpeername(socket->socket, (struct sockaddr *)&storage);
	else
		length = kernel_getsockname(socket->socket, (struct sockaddr *)&storage);
	if (length < 0)
		return length;
	return pcn_address_decode(&storage, address);
}
EXPORT_SYMBOL_GPL(pcn_socket_address);

/*
 * The result of sending @message. kTLS does not wait for its lock when a signal is pending; unless that is to kill us,
 * it is no reason to give up.
 */
static ssize_t pcn_send_message(struct pcn_socket *socket, struct msghdr *message, bool more)
{
	int sent;

	if (READ_ONCE(socket->is_shut_down))
		return -ESHUTDOWN;
	message->msg_flags |= MSG_DONTWAIT | MSG_NOSIGNAL;
	if (more)
		message->msg_flags |= MSG_MORE;
	sent = sock_sendmsg(socket->socket, message);
	if ((sent == -EINTR || sent == -ERESTARTSYS) && !fatal_signal_pending(current))
		return -EAGAIN;
	/* kTLS had no memory for a record, and took nothing; where TCP has none it says so. */
	if (sent == -ENOMEM && !READ_ONCE(socket->socket->sk->sk_err))
		return -EAGAIN;
	return sent;
}

ssize_t pcn_socket_send(struct pcn_socket *socket, struct kvec *parts, size_t count, size_t size,
			bool more)
{
	struct msghdr message = {};

	iov_iter_kvec(&message.msg_iter, ITER_SOURCE, parts, count, size);
	return pcn_send_message(socket, &message, more);
}
EXPORT_SYMBOL_GPL(pcn_socket_send);

ssize_t pcn_socket_send_pages(struct pcn_socket *socket, const struct kvec *parts, size_t count,
			      size_t size, bool more)
{
	struct bio_vec pages[PCN_SOCKET_PARTS_MAX];
	struct msghdr message = {};
	bool can_refer = true;
	size_t i;

	if (count > ARRAY_SIZE(pages))
		return -EINVAL;
	for (i = 0; i < count; i++) {
		/* One piece of memory, though pages of their own. */
		bvec_set_virt(&pages[i], parts[i].iov_base, parts[i].iov_len);
		can_refer &= sendpages_ok(pages[i].bv_page, parts[i].iov_len, pages[i].bv_offset);
	}
	iov_iter_bvec(&message.msg_iter, ITER_SOURCE, pages, count, size);
	/* The network copies, if its device cannot gather or the pages cannot be referred to. */
	if (can_refer)
		message.msg_flags |= MSG_SPLICE_PAGES;
	return pcn_send_message(socket, &message, more);
}
EXPORT_SYMBOL_GPL(pcn_socket_send_pages);

ssize_t pcn_socket_receive(struct pcn_socket *socket, struct kvec *parts, size_t count, size_t size,
			   struct pcn_socket_record *record)
{
	union {
		struct cmsghdr header;
		u8 bytes[CMSG_SPACE(sizeof(u8))];
	} control = {};
	struct msghdr message = {};
	const u8 *alert = parts[0].iov_base;
	bool has_tls = smp_load_acquire(&socket->has_tls);
	int received;

	memset(record, 0, sizeof(*record));
	if (READ_ONCE(socket->is_shut_down))
		return -ESHUTDOWN;
	if (has_tls) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	received = kernel_recvmsg(socket->socket, &message, parts, count, size, MSG_DONTWAIT);
	if ((received == -EINTR || received == -ERESTARTSYS) && !fatal_signal_pending(current))
		return -EAGAIN;
	if (!has_tls || received < 0)
		return received;

	/* No type: no record was read, so this is the end. */
	if (control.header.cmsg_level == SOL_TLS && control.header.cmsg_type == TLS_GET_RECORD_TYPE)
		record->type = *(u8 *)CMSG_DATA(&control.header);
	else if (received)
		return -EBADMSG;
	if (!record->type || record->type == TLS_RECORD_TYPE_DATA)
		return received;
	if (record->type == TLS_RECORD_TYPE_ALERT && received >= 2) {
		/* If the first part has room for one byte only, the other lies in the second one. */
		record->level = alert[0];
		record->description = parts[0].iov_len >= 2 ? alert[1]
							    : *(const u8 *)parts[1].iov_base;
	}
	return -EBADMSG;
}
EXPORT_SYMBOL_GPL(pcn_socket_receive);

u32 pcn_socket_events(struct pcn_socket *socket)
{
	/* kTLS replaces the operations. Without a table to poll by, the file is not looked at. */
	const struct proto_ops *operations = READ_ONCE(socket->socket->ops);
	u32 events = pcn_events(operations->poll(socket->socket->file, socket->socket, NULL));

	if (READ_ONCE(socket->is_shut_down))
		events |= PCN_SOCKET_ENDED;
	return events;
}
EXPORT_SYMBOL_GPL(pcn_socket_events);

/* Tells a peer by TLS that nothing more comes: else that could be anybody's doing. Does not wait for it. */
static void pcn_close_notify(struct socket *socket)
{
	static const u8 alert[2] = { TLS_ALERT_LEVEL_WARNING, TLS_ALERT_DESC_CLOSE_NOTIFY };
	union {
		struct cmsghdr header;
		u8 bytes[CMSG_SPACE(sizeof(u8))];
	} control = {
		.header = {
			.cmsg_level = SOL_TLS,
			.cmsg_type = TLS_SET_RECORD_TYPE,
			.cmsg_len = CMSG_LEN(sizeof(u8)),
		},
	};
	struct msghdr message = {
		.msg_control = &control,
		.msg_controllen = sizeof(control),
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
	};
	struct kvec part = {
		.iov_base = (void *)alert,
		.iov_len = sizeof(alert),
	};

	*(u8 *)CMSG_DATA(&control.header) = TLS_RECORD_TYPE_ALERT;
	kernel_sendmsg(socket, &message, &part, 1, sizeof(alert));
}

void pcn_socket_shut_down(struct pcn_socket *socket)
{
	/* Who begins to connect after this does not; who has begun is not connected any more, or finds it closed. */
	bool was_shut_down = xchg(&socket->is_shut_down, true);

	if (!was_shut_down && smp_load_acquire(&socket->has_tls))
		pcn_close_notify(socket->socket);
	kernel_sock_shutdown(socket->socket, SHUT_RDWR);
	wake_up_all(&socket->queue);
}
EXPORT_SYMBOL_GPL(pcn_socket_shut_down);

bool pcn_socket_is_shut_down(struct pcn_socket *socket)
{
	return READ_ONCE(socket->is_shut_down);
}
EXPORT_SYMBOL_GPL(pcn_socket_is_shut_down);

struct wait_queue_head *pcn_socket_queue(struct pcn_socket *socket)
{
	return &socket->queue;
}
EXPORT_SYMBOL_GPL(pcn_socket_queue);

void pcn_socket_watch(struct pcn_socket *socket, const struct pcn_socket_operations *operations,
		      void *data)
{
	struct wait_queue_head *queue = sk_sleep(socket->socket->sk);
	const struct pcn_socket_operations *old;
	void *old_data;

	spin_lock_irq(&queue->lock);
	old = socket->operations;
	old_data = socket->data;
	socket->operations = operations;
	socket->data = data;
	spin_unlock_irq(&queue->lock);
	if (old)
		old->release(old_data);
}
EXPORT_SYMBOL_GPL(pcn_socket_watch);

#else /* !CONFIG_INET */

struct pcn_socket *pcn_socket_new(bool ipv6)
{
	return ERR_PTR(-EOPNOTSUPP);
}
EXPORT_SYMBOL_GPL(pcn_socket_new);

/* There is never one, so nobody calls these. */

void pcn_socket_free(struct pcn_socket *socket)
{
}
EXPORT_SYMBOL_GPL(pcn_socket_free);

struct socket *pcn_socket_inner(struct pcn_socket *socket)
{
	return NULL;
}
EXPORT_SYMBOL_GPL(pcn_socket_inner);

void pcn_socket_set_tls(struct pcn_socket *socket)
{
}
EXPORT_SYMBOL_GPL(pcn_socket_set_tls);

int pcn_socket_set_options(struct pcn_socket *socket, const struct pcn_socket_options *options)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_socket_set_options);

int pcn_socket_listen(struct pcn_socket *socket, const struct pcn_address *address, u32 backlog)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_socket_listen);

struct pcn_socket *pcn_socket_accept(struct pcn_socket *socket)
{
	return ERR_PTR(-EOPNOTSUPP);
}
EXPORT_SYMBOL_GPL(pcn_socket_accept);

int pcn_socket_connect(struct pcn_socket *socket, const struct pcn_address *address)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_socket_connect);

int pcn_socket_address(struct pcn_socket *socket, bool peer, struct pcn_address *address)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_socket_address);

ssize_t pcn_socket_send(struct pcn_socket *socket, struct kvec *parts, size_t count, size_t size,
			bool more)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_socket_send);

ssize_t pcn_socket_send_pages(struct pcn_socket *socket, const struct kvec *parts, size_t count,
			      size_t size, bool more)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_socket_send_pages);

ssize_t pcn_socket_receive(struct pcn_socket *socket, struct kvec *parts, size_t count, size_t size,
			   struct pcn_socket_record *record)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_socket_receive);

u32 pcn_socket_events(struct pcn_socket *socket)
{
	return PCN_SOCKET_ENDED;
}
EXPORT_SYMBOL_GPL(pcn_socket_events);

void pcn_socket_shut_down(struct pcn_socket *socket)
{
}
EXPORT_SYMBOL_GPL(pcn_socket_shut_down);

bool pcn_socket_is_shut_down(struct pcn_socket *socket)
{
	return true;
}
EXPORT_SYMBOL_GPL(pcn_socket_is_shut_down);

struct wait_queue_head *pcn_socket_queue(struct pcn_socket *socket)
{
	return NULL;
}
EXPORT_SYMBOL_GPL(pcn_socket_queue);

void pcn_socket_watch(struct pcn_socket *socket, const struct pcn_socket_operations *operations,
		      void *data)
{
}
EXPORT_SYMBOL_GPL(pcn_socket_watch);

#endif /* CONFIG_INET */

bool pcn_in_kernel_thread(void)
{
	return current->flags & PF_KTHREAD;
}
EXPORT_SYMBOL_GPL(pcn_in_kernel_thread);

void *pcn_pages_new(size_t size)
{
	/* One piece, but each page has a count of its own, so that a socket can keep one and not the others. */
	return alloc_pages_exact(size, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
}
EXPORT_SYMBOL_GPL(pcn_pages_new);

void pcn_pages_free(void *pages, size_t size)
{
	/* Drops one reference of each page. */
	free_pages_exact(pages, size);
}
EXPORT_SYMBOL_GPL(pcn_pages_free);

bool pcn_pages_are_ours(void *pages, size_t size)
{
	size_t at;

	for (at = 0; at < size; at += PAGE_SIZE)
		if (page_count(virt_to_page(pages + at)) != 1)
			return false;
	/* What they read, they read before they dropped it. */
	smp_mb();
	return true;
}
EXPORT_SYMBOL_GPL(pcn_pages_are_ours);

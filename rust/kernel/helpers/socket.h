/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/socket.rs needs from C: TCP sockets of the kernel's own.
 *
 * No function here waits for a peer: what cannot be done now is -EAGAIN, and whoever wants to wait does so on
 * pcn_socket_queue(). Those that take the socket's lock sleep while another task has it, which is never for long.
 * Without networking in this kernel they all fail with -EOPNOTSUPP.
 */
#ifndef PCN_SOCKET_H
#define PCN_SOCKET_H

#include <linux/types.h>
#include <linux/uio.h>
#include <linux/wait.h>

struct pcn_socket;
struct sock;
struct socket;

/* What can be done, or has happened. */
enum pcn_socket_event {
	PCN_SOCKET_READABLE = 1 << 0,
	PCN_SOCKET_WRITABLE = 1 << 1,
	/* It is closed both ways, or it failed: nothing has to wait any more. */
	PCN_SOCKET_ENDED = 1 << 2,
};

struct pcn_address {
	/* As in a packet; an IPv4 address has four bytes. */
	u8 octets[16];
	u16 port;
	bool ipv6;
};

struct pcn_socket_options {
	/* Seconds of silence before the first probe, between two, and how many. */
	u32 keep_idle;
	u32 keep_interval;
	u32 keep_count;
	/* Milliseconds that what was sent may be without acknowledgement. */
	u32 user_timeout;
	/* SO_PRIORITY. */
	u32 priority;
};

/* Whom a socket tells that something happened. */
struct pcn_socket_operations {
	/*
	 * @events may be possible now. In any context but NMI, with interrupts off and the lock of a wait queue held:
	 * it may wake somebody, and must not call any function of this file.
	 */
	void (*woken)(void *data, u32 events);
	/* Nobody is in the other one, and nobody will be. May sleep. */
	void (*release)(void *data);
};

/* The most pieces that one call can send. */
#define PCN_SOCKET_PARTS_MAX 20

/* What a socket received that was no data, see pcn_socket_receive(). */
struct pcn_socket_record {
	/* TLS: the content type of the record; 0: there was none. */
	u8 type;
	/* Of an alert. */
	u8 level;
	u8 description;
};

/*
 * Makes a socket, neither connected nor listening, of the initial network namespace. Only in a kernel thread (else
 * -EPERM): a task's cgroups would pay for it. An ERR_PTR on failure.
 */
struct pcn_socket *pcn_socket_new(bool ipv6);
/*
 * Nobody else uses it any more. What was sent still arrives, but for when something is here that was not received: that
 * resets the connection.
 */
void pcn_socket_free(struct pcn_socket *socket);

/* The same socket, for other files in this folder. */
struct socket *pcn_socket_inner(struct pcn_socket *socket);
/* From now on all that is received must be records of TLS. */
void pcn_socket_set_tls(struct pcn_socket *socket);

int pcn_socket_set_options(struct pcn_socket *socket, const struct pcn_socket_options *options);
int pcn_socket_listen(struct pcn_socket *socket, const struct pcn_address *address, u32 backlog);
/* An ERR_PTR on failure; -EAGAIN: nobody wants to connect. Only in a kernel thread. */
struct pcn_socket *pcn_socket_accept(struct pcn_socket *socket);
/* Begins to connect, and with the same arguments goes on; -EINPROGRESS or -EALREADY until the peer has answered. */
int pcn_socket_connect(struct pcn_socket *socket, const struct pcn_address *address);
int pcn_socket_address(struct pcn_socket *socket, bool peer, struct pcn_address *address);

/* How many bytes of @parts were taken. With @more nothing is sent that would be less than a full packet. */
ssize_t pcn_socket_send(struct pcn_socket *socket, struct kvec *parts, size_t count, size_t size,
			bool more);
/*
 * As above, by reference: each part is in pages that lie in one piece, and must not change until nobody else refers to
 * them. -EINVAL: more than PCN_SOCKET_PARTS_MAX.
 */
ssize_t pcn_socket_send_pages(struct pcn_socket *socket, const struct kvec *parts, size_t count,
			      size_t size, bool more);
/*
 * How many bytes were received, into @parts in order; 0: the peer sends no more. -EBADMSG: a record of TLS that is no
 * data came, and is lost; @record tells which.
 */
ssize_t pcn_socket_receive(struct pcn_socket *socket, struct kvec *parts, size_t count, size_t size,
			   struct pcn_socket_record *record);
/* Of enum pcn_socket_event, what holds now. Does not sleep. If there is no room, room will be told of. */
u32 pcn_socket_events(struct pcn_socket *socket);

/* Ends it both ways; every wait ends, from now on. */
void pcn_socket_shut_down(struct pcn_socket *socket);
bool pcn_socket_is_shut_down(struct pcn_socket *socket);

/* All that sleep on it are woken when any event happens. */
struct wait_queue_head *pcn_socket_queue(struct pcn_socket *socket);
/* Who is told of events, instead of who was, who is released; NULL: nobody. */
void pcn_socket_watch(struct pcn_socket *socket, const struct pcn_socket_operations *operations,
		      void *data);

bool pcn_in_kernel_thread(void);

/* Pages to send by reference. */
void *pcn_pages_new(size_t size);
/* They go when the last socket that refers to them is done. */
void pcn_pages_free(void *pages, size_t size);
/* Whether nobody else refers to them any more. */
bool pcn_pages_are_ours(void *pages, size_t size);

#endif /* PCN_SOCKET_H */

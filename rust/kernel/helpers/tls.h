/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/tls.rs needs from C: TLS by the kernel's own means. A process, tlshd, does the handshake, as for NFS
 * and NVMe over TCP; the records are the kernel's (kTLS).
 */
#ifndef PCN_TLS_H
#define PCN_TLS_H

#include <linux/types.h>

struct key;
struct pcn_socket;

/* How many keys can be offered. */
enum {
	PCN_TLS_KEYS_MAX = 5
};

struct pcn_tls_parameters {
	/* Begins by waiting for the other. */
	bool is_server;
	/* By keys that both have; else by X.509 certificates. */
	bool has_keys;
	u32 timeout_ms;
	/* Whose certificate it must be, for a client; NULL: that of the address. */
	const char *peer_name;
	/* Serial numbers of a keyring that tlshd may use, and of our certificate and private key; 0: none. */
	s32 keyring;
	s32 certificate;
	s32 private_key;
	u32 key_count;
	s32 keys[PCN_TLS_KEYS_MAX];
	/* Asked some twenty times a second whether to give up. */
	bool (*should_end)(void *data);
	void *data;
};

/*
 * TLS on a connected socket that nothing was sent or received on. @peer: the serial number of what the peer has shown,
 * -1 if it is right but in no key, 0 if it has shown nothing. @certificate: that key, if certificates were shown and it
 * could be kept, with a reference for pcn_certificate_put(); else NULL. Both are set only if this succeeds. Waits for
 * tlshd and the peer, killable, ended by pcn_socket_shut_down(). When it fails the socket is shut down.
 *
 * -EOPNOTSUPP not in this kernel; -ESRCH no tlshd; -EBUSY the socket has had one; -EAGAIN too many at once; -ETIMEDOUT;
 * -EINTR; -ESHUTDOWN; -ECANCELED should_end() said so; -EACCES (and whatever else tlshd says) it was refused; -EPROTO tlshd says that all is well, but
 * the socket does not encrypt both ways.
 */
int pcn_tls_handshake(struct pcn_socket *socket, const struct pcn_tls_parameters *parameters,
		      s32 *peer, struct key **certificate);
/* Nobody is in a function of this file any more. For the end of the module. */
void pcn_tls_exit(void);

#endif /* PCN_TLS_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/key.rs needs from C: a keyring of the kernel's, keys by their serial numbers, and whether two
 * certificates are of one key.
 */
#ifndef PCN_KEY_H
#define PCN_KEY_H

#include <linux/types.h>

struct key;

/*
 * An empty keyring that root can read, and put keys into, by its name (keyctl: "%:NAME"). An ERR_PTR on failure;
 * -EOPNOTSUPP: no keys in this kernel. Sleeps.
 */
struct key *pcn_keyring_new(const char *name);
/* Nobody can use it any more; the keys that are nowhere else go. Sleeps. */
void pcn_keyring_free(struct key *keyring);
s32 pcn_keyring_serial(const struct key *keyring);
/* 0 if there is such a key and it can be used; -ENOKEY, -EKEYREVOKED, -EKEYEXPIRED. Sleeps. */
int pcn_key_check(s32 serial);

/*
 * The key with that number, of type asymmetric, which holds the public key of a certificate: with a reference, so that
 * it stays as it is whatever becomes of it in its keyring. An ERR_PTR on failure: -EINVAL it is another kind of key;
 * -EOPNOTSUPP not in this kernel; else as pcn_key_check(). Sleeps.
 */
struct key *pcn_certificate_get(s32 serial);
/* Gives the reference back. @certificate may be NULL. */
void pcn_certificate_put(struct key *certificate);
/* Whether both certificates are of the same public key, whatever else they say. */
bool pcn_certificate_same_key(const struct key *one, const struct key *other);

#endif /* PCN_KEY_H */

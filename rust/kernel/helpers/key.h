/* SPDX-License-Identifier: GPL-2.0 */
/* What rust/kernel/key.rs needs from C: a keyring of the kernel's, and keys by their serial numbers. */
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

#endif /* PCN_KEY_H */

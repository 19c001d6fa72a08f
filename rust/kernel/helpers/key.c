// SPDX-License-Identifier: GPL-2.0
/* See key.h. All is exported, for inlined Rust in other modules calls it. */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/key.h>
#include <linux/uidgid.h>

#include "key.h"

#ifdef CONFIG_KEYS

struct key *pcn_keyring_new(const char *name)
{
	/* As those of NVMe and NFS, which tlshd knows; not in anybody's quota, whoever loads the module. */
	return keyring_alloc(name, GLOBAL_ROOT_UID, GLOBAL_ROOT_GID, current_cred(),
			     (KEY_POS_ALL & ~KEY_POS_SETATTR) | (KEY_USR_ALL & ~KEY_USR_SETATTR),
			     KEY_ALLOC_NOT_IN_QUOTA, NULL, NULL);
}
EXPORT_SYMBOL_GPL(pcn_keyring_new);

void pcn_keyring_free(struct key *keyring)
{
	key_revoke(keyring);
	key_put(keyring);
}
EXPORT_SYMBOL_GPL(pcn_keyring_free);

s32 pcn_keyring_serial(const struct key *keyring)
{
	return key_serial(keyring);
}
EXPORT_SYMBOL_GPL(pcn_keyring_serial);

int pcn_key_check(s32 serial)
{
	struct key *key = key_lookup(serial);
	int error;

	if (IS_ERR(key))
		return PTR_ERR(key);
	error = key_validate(key);
	key_put(key);
	return error;
}
EXPORT_SYMBOL_GPL(pcn_key_check);

#else /* !CONFIG_KEYS */

struct key *pcn_keyring_new(const char *name)
{
	return ERR_PTR(-EOPNOTSUPP);
}
EXPORT_SYMBOL_GPL(pcn_keyring_new);

/* There is never one. */
void pcn_keyring_free(struct key *keyring)
{
}
EXPORT_SYMBOL_GPL(pcn_keyring_free);

s32 pcn_keyring_serial(const struct key *keyring)
{
	return 0;
}
EXPORT_SYMBOL_GPL(pcn_keyring_serial);

int pcn_key_check(s32 serial)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(pcn_key_check);

#endif

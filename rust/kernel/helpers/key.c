// SPDX-License-Identifier: GPL-2.0
/* See key.h. All is exported, for inlined Rust in other modules calls it. */
#include <crypto/public_key.h>
#include <keys/asymmetric-subtype.h>
#include <keys/asymmetric-type.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/key.h>
#include <linux/string.h>
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

#if IS_ENABLED(CONFIG_ASYMMETRIC_PUBLIC_KEY_SUBTYPE)

struct key *pcn_certificate_get(s32 serial)
{
	struct key *key = key_lookup(serial);
	int error;

	if (IS_ERR(key))
		return key;
	error = key_validate(key);
	if (error)
		goto put;
	error = -EINVAL;
	if (key->type != &key_type_asymmetric || !key_is_positive(key))
		goto put;
	/* Keys of this type are neither updated nor emptied: what is looked at stays, as long as the reference does. */
	if (asymmetric_key_subtype(key) != &public_key_subtype ||
	    asymmetric_key_public_key(key)->key_is_private)
		goto put;
	return key;

put:
	key_put(key);
	return ERR_PTR(error);
}
EXPORT_SYMBOL_GPL(pcn_certificate_get);

void pcn_certificate_put(struct key *certificate)
{
	key_put(certificate);
}
EXPORT_SYMBOL_GPL(pcn_certificate_put);

bool pcn_certificate_same_key(const struct key *one, const struct key *other)
{
	const struct public_key *first = asymmetric_key_public_key(one);
	const struct public_key *second = asymmetric_key_public_key(other);

	/* The parameters are those of the algorithm, as the curve. */
	return first->algo == second->algo && first->keylen == second->keylen &&
	       first->paramlen == second->paramlen &&
	       !memcmp(first->key, second->key, first->keylen) &&
	       !memcmp(first->params, second->params, first->paramlen);
}
EXPORT_SYMBOL_GPL(pcn_certificate_same_key);

#else /* !CONFIG_ASYMMETRIC_PUBLIC_KEY_SUBTYPE */

struct key *pcn_certificate_get(s32 serial)
{
	return ERR_PTR(-EOPNOTSUPP);
}
EXPORT_SYMBOL_GPL(pcn_certificate_get);

/* There is never one. */
void pcn_certificate_put(struct key *certificate)
{
}
EXPORT_SYMBOL_GPL(pcn_certificate_put);

bool pcn_certificate_same_key(const struct key *one, const struct key *other)
{
	return false;
}
EXPORT_SYMBOL_GPL(pcn_certificate_same_key);

#endif

// SPDX-License-Identifier: GPL-2.0
/* The KUnit suite of key.c: certificates, of which TLS asks whether they are of one key. */
#include <kunit/test.h>
#include <linux/err.h>
#include <linux/key.h>
#include <linux/string.h>

#include "key.h"

/* Of /CN=node by /CN=CA, with a key on P-256. Its signature is not looked at here. */
static const u8 certificate[] = {
	0x30, 0x82, 0x01, 0x1a, 0x30, 0x81, 0xc1, 0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x01,
	0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 0x30, 0x0d, 0x31,
	0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x02, 0x43, 0x41, 0x30, 0x1e, 0x17,
	0x0d, 0x32, 0x36, 0x31, 0x31, 0x32, 0x32, 0x32, 0x33, 0x34, 0x37, 0x30, 0x36, 0x5a, 0x17,
	0x0d, 0x33, 0x36, 0x31, 0x31, 0x31, 0x39, 0x32, 0x33, 0x34, 0x37, 0x30, 0x36, 0x5a, 0x30,
	0x0f, 0x31, 0x0d, 0x30, 0x0b, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x04, 0x6e, 0x6f, 0x64,
	0x65, 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
	0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0xd8, 0xb3,
	0xb4, 0xd7, 0xfc, 0x10, 0x2c, 0xbe, 0x21, 0x4b, 0x9d, 0x08, 0xcd, 0x6e, 0xd3, 0x5d, 0x8d,
	0x01, 0x2a, 0x1c, 0x20, 0xc9, 0x08, 0xd2, 0x98, 0x7d, 0x31, 0xe5, 0xa8, 0x18, 0x81, 0x0e,
	0xbe, 0x32, 0xe6, 0xae, 0xa8, 0x4e, 0x28, 0x9a, 0xd8, 0xc3, 0xce, 0xce, 0xd5, 0x18, 0x8f,
	0xe5, 0x44, 0xce, 0x88, 0xa1, 0x63, 0xf8, 0x4e, 0xed, 0x3e, 0x5a, 0xaf, 0x79, 0xdf, 0x80,
	0xda, 0x3f, 0xa3, 0x10, 0x30, 0x0e, 0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01,
	0xff, 0x04, 0x02, 0x30, 0x00, 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04,
	0x03, 0x02, 0x03, 0x48, 0x00, 0x30, 0x45, 0x02, 0x21, 0x00, 0xd2, 0xcf, 0x93, 0x6b, 0xd7,
	0xa0, 0x7b, 0xf3, 0xb8, 0x38, 0x7a, 0x7b, 0x9d, 0xa0, 0x80, 0xe5, 0x06, 0x86, 0x7b, 0x65,
	0x9d, 0xbe, 0x51, 0x03, 0xc7, 0xd8, 0x64, 0x5f, 0xb4, 0x8e, 0x3b, 0xb7, 0x02, 0x20, 0x04,
	0x16, 0x8c, 0x82, 0x3f, 0x9a, 0x0f, 0x46, 0xcd, 0xf9, 0xaa, 0x70, 0xfc, 0x06, 0x84, 0x94,
	0x26, 0xcb, 0xae, 0xd5, 0x9a, 0x90, 0x3c, 0xd1, 0xf1, 0xdb, 0x1e, 0x67, 0xa6, 0xb4, 0xaf,
	0x54,
};

/* What another one has there: its number, the last year in which it is valid, a byte of its key. */
enum {
	SERIAL = 14,
	YEAR = 62,
	KEY = 118
};

/* The number of a key, in @keyring, with that certificate, of which one byte is another. */
static s32 add(struct key *keyring, const char *type, const char *name, int other, u8 value)
{
	u8 bytes[sizeof(certificate)];
	key_ref_t key;
	s32 serial;

	memcpy(bytes, certificate, sizeof(bytes));
	if (other >= 0)
		bytes[other] = value;
	key = key_create_or_update(make_key_ref(keyring, true), type, name, bytes, sizeof(bytes),
				   KEY_POS_ALL, KEY_ALLOC_NOT_IN_QUOTA);
	if (IS_ERR(key))
		return PTR_ERR(key);
	serial = key_serial(key_ref_to_ptr(key));
	key_ref_put(key);
	return serial;
}

/* The certificate itself; NULL if the check failed. */
static struct key *get(struct kunit *test, struct key *keyring, const char *name, int other,
		       u8 value)
{
	s32 serial = add(keyring, "asymmetric", name, other, value);
	struct key *key = serial > 0 ? pcn_certificate_get(serial) : ERR_PTR(serial);

	KUNIT_EXPECT_FALSE_MSG(test, IS_ERR(key), "%s: %ld", name, PTR_ERR(key));
	return IS_ERR(key) ? NULL : key;
}

static void same_key(struct kunit *test)
{
	struct key *keyring = test->priv;
	struct key *one = get(test, keyring, "one", -1, 0);
	struct key *again = get(test, keyring, "again", -1, 0);
	struct key *renewed = get(test, keyring, "renewed", YEAR, '9');
	struct key *numbered = get(test, keyring, "numbered", SERIAL, 2);
	struct key *other = get(test, keyring, "other", KEY, (u8)~certificate[KEY]);

	if (one && again && renewed && numbered && other) {
		KUNIT_EXPECT_TRUE(test, pcn_certificate_same_key(one, one));
		KUNIT_EXPECT_TRUE(test, pcn_certificate_same_key(one, again));
		KUNIT_EXPECT_TRUE(test, pcn_certificate_same_key(one, renewed));
		KUNIT_EXPECT_TRUE(test, pcn_certificate_same_key(numbered, one));
		KUNIT_EXPECT_FALSE(test, pcn_certificate_same_key(one, other));
		KUNIT_EXPECT_FALSE(test, pcn_certificate_same_key(other, renewed));
	}
	pcn_certificate_put(one);
	pcn_certificate_put(again);
	pcn_certificate_put(renewed);
	pcn_certificate_put(numbered);
	pcn_certificate_put(other);
}

/* Another of its name takes its place in the keyring; who has it has it. */
static void replaced(struct kunit *test)
{
	struct key *keyring = test->priv;
	struct key *one = get(test, keyring, "name", -1, 0);
	struct key *other = get(test, keyring, "name", KEY, (u8)~certificate[KEY]);
	struct key *again = get(test, keyring, "name", YEAR, '9');

	if (one && other && again) {
		KUNIT_EXPECT_FALSE(test, pcn_certificate_same_key(one, other));
		KUNIT_EXPECT_TRUE(test, pcn_certificate_same_key(one, again));
	}
	pcn_certificate_put(one);
	pcn_certificate_put(other);
	pcn_certificate_put(again);
}

static void no_certificate(struct kunit *test)
{
	struct key *keyring = test->priv;
	struct key *key;
	s32 serial;

	KUNIT_EXPECT_EQ(test, PTR_ERR(pcn_certificate_get(pcn_keyring_serial(keyring))), -EINVAL);
	serial = add(keyring, "user", "text", -1, 0);
	KUNIT_EXPECT_GT(test, serial, 0);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pcn_certificate_get(serial)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pcn_certificate_get(0)), -ENOKEY);
	key = get(test, keyring, "revoked", -1, 0);
	if (key) {
		serial = key_serial(key);
		key_revoke(key);
		KUNIT_EXPECT_EQ(test, pcn_key_check(serial), -EKEYREVOKED);
		KUNIT_EXPECT_EQ(test, PTR_ERR(pcn_certificate_get(serial)), -EKEYREVOKED);
	}
	pcn_certificate_put(key);
	pcn_certificate_put(NULL);
}

static int popcorn_key_init(struct kunit *test)
{
	struct key *keyring;
	s32 serial;

	if (!IS_ENABLED(CONFIG_X509_CERTIFICATE_PARSER))
		kunit_skip(test, "no certificates in this kernel");
	keyring = pcn_keyring_new(".popcorn_test_key");
	if (IS_ERR(keyring))
		return PTR_ERR(keyring);
	/* Whatever is wrong with that is wrong with all. */
	serial = add(keyring, "asymmetric", "probe", -1, 0);
	if (serial < 0) {
		pcn_keyring_free(keyring);
		return serial;
	}
	test->priv = keyring;
	return 0;
}

static void popcorn_key_exit(struct kunit *test)
{
	if (test->priv)
		pcn_keyring_free(test->priv);
}

static struct kunit_case popcorn_key_cases[] = {
	KUNIT_CASE(same_key),
	KUNIT_CASE(replaced),
	KUNIT_CASE(no_certificate),
	{},
};

static struct kunit_suite popcorn_key_suite = {
	.name = "popcorn_key",
	.init = popcorn_key_init,
	.exit = popcorn_key_exit,
	.test_cases = popcorn_key_cases,
};
kunit_test_suite(popcorn_key_suite);

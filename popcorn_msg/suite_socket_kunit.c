// SPDX-License-Identifier: GPL-2.0
/* The KUnit suite of the kernel's sockets; the cases are in socket_tests.rs. */
#include <kunit/test.h>
#include <linux/netdevice.h>
#include <net/net_namespace.h>

void popcorn_socket_test_exchange(struct kunit *test);
void popcorn_socket_test_options(struct kunit *test);
void popcorn_socket_test_mistakes(struct kunit *test);
void popcorn_socket_test_time_outs(struct kunit *test);
void popcorn_socket_test_full(struct kunit *test);
void popcorn_socket_test_shut_down(struct kunit *test);
void popcorn_socket_test_peer_closes(struct kunit *test);
void popcorn_socket_test_watch(struct kunit *test);
void popcorn_socket_test_pages(struct kunit *test);
void popcorn_socket_test_tls(struct kunit *test);

/* clang-format off */
static struct kunit_case popcorn_socket_cases[] = {
	KUNIT_CASE(popcorn_socket_test_exchange),
	KUNIT_CASE(popcorn_socket_test_options),
	KUNIT_CASE(popcorn_socket_test_mistakes),
	KUNIT_CASE_SLOW(popcorn_socket_test_time_outs),
	KUNIT_CASE_SLOW(popcorn_socket_test_full),
	KUNIT_CASE_SLOW(popcorn_socket_test_shut_down),
	KUNIT_CASE(popcorn_socket_test_peer_closes),
	KUNIT_CASE_SLOW(popcorn_socket_test_watch),
	KUNIT_CASE(popcorn_socket_test_pages),
	KUNIT_CASE_SLOW(popcorn_socket_test_tls),
	{},
};
/* clang-format on */

/* They need the loopback device, with its address. */
static int popcorn_socket_init(struct kunit *test)
{
#ifdef CONFIG_INET
	if (!(READ_ONCE(init_net.loopback_dev->flags) & IFF_UP))
		kunit_skip(test, "the loopback device is down: ip link set lo up");
#else
	kunit_skip(test, "no networking in this kernel");
#endif
	return 0;
}

static struct kunit_suite popcorn_socket_suite = {
	.name = "popcorn_socket",
	.init = popcorn_socket_init,
	.test_cases = popcorn_socket_cases,
};
kunit_test_suite(popcorn_socket_suite);

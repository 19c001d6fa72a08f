// SPDX-License-Identifier: GPL-2.0
/* The KUnit suite of popcorn_net; the cases are in tests.rs. */
#include <kunit/test.h>

void popcorn_net_test_packets_hold_their_bytes(struct kunit *test);
void popcorn_net_test_offload_that_is_left(struct kunit *test);
void popcorn_net_test_pieces_that_are_lost(struct kunit *test);
void popcorn_net_test_garbage_from_a_peer(struct kunit *test);
void popcorn_net_test_routes_of_frames(struct kunit *test);

static struct kunit_case popcorn_net_cases[] = {
	KUNIT_CASE(popcorn_net_test_packets_hold_their_bytes),
	KUNIT_CASE(popcorn_net_test_offload_that_is_left),
	KUNIT_CASE(popcorn_net_test_pieces_that_are_lost),
	KUNIT_CASE_SLOW(popcorn_net_test_garbage_from_a_peer),
	KUNIT_CASE(popcorn_net_test_routes_of_frames),
	{},
};

static struct kunit_suite popcorn_net_suite = {
	.name = "popcorn_net",
	.test_cases = popcorn_net_cases,
};
kunit_test_suite(popcorn_net_suite);

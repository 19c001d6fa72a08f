// SPDX-License-Identifier: GPL-2.0
/* The KUnit suite of a peer that means harm; the cases are in tests/hostile.rs. */
#include <kunit/test.h>

void popcorn_msg_test_hostile_messages(struct kunit *test);
void popcorn_msg_test_hostile_window(struct kunit *test);
void popcorn_msg_test_hostile_answers(struct kunit *test);
void popcorn_msg_test_hostile_late(struct kunit *test);
void popcorn_msg_test_hostile_storm(struct kunit *test);
void popcorn_msg_test_hostile_flood(struct kunit *test);
void popcorn_msg_test_hostile_random(struct kunit *test);

static struct kunit_case popcorn_msg_hostile_cases[] = {
	KUNIT_CASE_SLOW(popcorn_msg_test_hostile_messages),
	KUNIT_CASE_SLOW(popcorn_msg_test_hostile_window),
	KUNIT_CASE_SLOW(popcorn_msg_test_hostile_answers),
	KUNIT_CASE(popcorn_msg_test_hostile_late),
	KUNIT_CASE_SLOW(popcorn_msg_test_hostile_storm),
	KUNIT_CASE_SLOW(popcorn_msg_test_hostile_flood),
	KUNIT_CASE_SLOW(popcorn_msg_test_hostile_random),
	{},
};

static struct kunit_suite popcorn_msg_hostile_suite = {
	.name = "popcorn_msg_hostile",
	.test_cases = popcorn_msg_hostile_cases,
};
kunit_test_suite(popcorn_msg_hostile_suite);

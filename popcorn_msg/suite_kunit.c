// SPDX-License-Identifier: GPL-2.0
/* The KUnit suite of popcorn_msg; the cases are in tests.rs. */
#include <kunit/test.h>

#define CASES(do_case)				\
	do_case(echo)				\
	do_case(errors)				\
	do_case(late_reply)			\
	do_case(order)				\
	do_case(back_pressure)			\
	do_case(leave_and_return)		\
	do_case(death)				\
	do_case(garbage)			\
	do_case(mismatch)			\
	do_case(doorbell)			\
	do_case(registration)			\
	do_case(many_callers)

#define DECLARE(name) void popcorn_msg_test_##name(struct kunit *test);
#define CASE(name) KUNIT_CASE(popcorn_msg_test_##name),

CASES(DECLARE)

static struct kunit_case popcorn_msg_cases[] = {
	CASES(CASE)
	{}
};

static struct kunit_suite popcorn_msg_suite = {
	.name = "popcorn_msg",
	.test_cases = popcorn_msg_cases,
};
kunit_test_suite(popcorn_msg_suite);

// SPDX-License-Identifier: GPL-2.0
/* The KUnit suite of popcorn_msg; the cases are in tests.rs and statistics_tests.rs. */
#include <kunit/test.h>

void popcorn_msg_test_echo(struct kunit *test);
void popcorn_msg_test_errors(struct kunit *test);
void popcorn_msg_test_late_reply(struct kunit *test);
void popcorn_msg_test_left_call(struct kunit *test);
void popcorn_msg_test_one_deadline(struct kunit *test);
void popcorn_msg_test_order(struct kunit *test);
void popcorn_msg_test_back_pressure(struct kunit *test);
void popcorn_msg_test_waiting_requests(struct kunit *test);
void popcorn_msg_test_no_answer_taken(struct kunit *test);
void popcorn_msg_test_leave_and_return(struct kunit *test);
void popcorn_msg_test_left_alone(struct kunit *test);
void popcorn_msg_test_death(struct kunit *test);
void popcorn_msg_test_told_first(struct kunit *test);
void popcorn_msg_test_all_told(struct kunit *test);
void popcorn_msg_test_never_accepted(struct kunit *test);
void popcorn_msg_test_garbage(struct kunit *test);
void popcorn_msg_test_mismatch(struct kunit *test);
void popcorn_msg_test_doorbell(struct kunit *test);
void popcorn_msg_test_doorbell_moves(struct kunit *test);
void popcorn_msg_test_doorbell_asleep(struct kunit *test);
void popcorn_msg_test_doorbell_poller(struct kunit *test);
void popcorn_msg_test_doorbell_polled(struct kunit *test);
void popcorn_msg_test_doorbell_adaptive(struct kunit *test);
void popcorn_msg_test_rounds_budget(struct kunit *test);
void popcorn_msg_test_rounds_go_on(struct kunit *test);
void popcorn_msg_test_registration(struct kunit *test);
void popcorn_msg_test_many_callers(struct kunit *test);
void popcorn_msg_test_multicast_all_answer(struct kunit *test);
void popcorn_msg_test_multicast_by_all_transports(struct kunit *test);
void popcorn_msg_test_multicast_some_fail(struct kunit *test);
void popcorn_msg_test_multicast_any_order(struct kunit *test);
void popcorn_msg_test_multicast_out_of_time(struct kunit *test);
void popcorn_msg_test_multicast_interrupted(struct kunit *test);
void popcorn_msg_test_multicast_no_room(struct kunit *test);
void popcorn_msg_test_declared(struct kunit *test);
void popcorn_msg_test_undeclared_answers(struct kunit *test);
void popcorn_msg_test_pages(struct kunit *test);
void popcorn_msg_test_part_in_order(struct kunit *test);
void popcorn_msg_test_part_refused(struct kunit *test);
void popcorn_msg_test_part_too_slow(struct kunit *test);
void popcorn_msg_test_part_called_off(struct kunit *test);
void popcorn_msg_test_part_from_lost(struct kunit *test);
void popcorn_msg_test_part_both(struct kunit *test);
void popcorn_msg_test_tcp_echo(struct kunit *test);
void popcorn_msg_test_tcp_by_ipv6(struct kunit *test);
void popcorn_msg_test_tcp_options(struct kunit *test);
void popcorn_msg_test_tcp_errors(struct kunit *test);
void popcorn_msg_test_tcp_broken_connections(struct kunit *test);
void popcorn_msg_test_tcp_silence(struct kunit *test);
void popcorn_msg_test_tcp_leaves_and_returns(struct kunit *test);
void popcorn_msg_test_tcp_strangers(struct kunit *test);
void popcorn_msg_test_tcp_silent_ones(struct kunit *test);
void popcorn_msg_test_tcp_back_pressure(struct kunit *test);
void popcorn_msg_test_tcp_many_callers(struct kunit *test);
void popcorn_msg_test_tcp_pages(struct kunit *test);
void popcorn_msg_test_tcp_pages_again(struct kunit *test);
void popcorn_msg_test_tcp_half_open_bulk(struct kunit *test);
void popcorn_msg_test_tcp_deaf_bulk(struct kunit *test);
void popcorn_msg_test_tcp_takes_no_bulk(struct kunit *test);
void popcorn_msg_test_tcp_never_connects_bulk(struct kunit *test);
void popcorn_msg_test_tcp_one_bulk_answer(struct kunit *test);
void popcorn_msg_test_tcp_late_hello(struct kunit *test);
void popcorn_msg_test_tcp_next_session(struct kunit *test);
void popcorn_msg_test_members_two(struct kunit *test);
void popcorn_msg_test_members_short_cut(struct kunit *test);
void popcorn_msg_test_members_three(struct kunit *test);
void popcorn_msg_test_members_restart(struct kunit *test);
void popcorn_msg_test_members_leave(struct kunit *test);
void popcorn_msg_test_members_leave_one(struct kunit *test);
void popcorn_msg_test_members_leave_lost(struct kunit *test);
void popcorn_msg_test_members_lost_goodbye(struct kunit *test);
void popcorn_msg_test_members_force(struct kunit *test);
void popcorn_msg_test_statistics(struct kunit *test);
void popcorn_msg_test_failed_calls(struct kunit *test);
void popcorn_msg_test_stalls(struct kunit *test);
void popcorn_msg_test_many_types(struct kunit *test);

static struct kunit_case popcorn_msg_cases[] = {
	KUNIT_CASE(popcorn_msg_test_echo),
	KUNIT_CASE(popcorn_msg_test_errors),
	KUNIT_CASE(popcorn_msg_test_late_reply),
	KUNIT_CASE(popcorn_msg_test_left_call),
	KUNIT_CASE(popcorn_msg_test_one_deadline),
	KUNIT_CASE_SLOW(popcorn_msg_test_order),
	KUNIT_CASE(popcorn_msg_test_back_pressure),
	KUNIT_CASE(popcorn_msg_test_waiting_requests),
	KUNIT_CASE_SLOW(popcorn_msg_test_no_answer_taken),
	KUNIT_CASE(popcorn_msg_test_leave_and_return),
	KUNIT_CASE(popcorn_msg_test_left_alone),
	KUNIT_CASE(popcorn_msg_test_death),
	KUNIT_CASE(popcorn_msg_test_told_first),
	KUNIT_CASE(popcorn_msg_test_all_told),
	KUNIT_CASE_SLOW(popcorn_msg_test_never_accepted),
	KUNIT_CASE_SLOW(popcorn_msg_test_garbage),
	KUNIT_CASE(popcorn_msg_test_mismatch),
	KUNIT_CASE(popcorn_msg_test_doorbell),
	KUNIT_CASE_SLOW(popcorn_msg_test_doorbell_moves),
	KUNIT_CASE_SLOW(popcorn_msg_test_doorbell_asleep),
	KUNIT_CASE_SLOW(popcorn_msg_test_doorbell_poller),
	KUNIT_CASE_SLOW(popcorn_msg_test_doorbell_polled),
	KUNIT_CASE_SLOW(popcorn_msg_test_doorbell_adaptive),
	KUNIT_CASE_SLOW(popcorn_msg_test_rounds_budget),
	KUNIT_CASE_SLOW(popcorn_msg_test_rounds_go_on),
	KUNIT_CASE(popcorn_msg_test_registration),
	KUNIT_CASE_SLOW(popcorn_msg_test_many_callers),
	KUNIT_CASE(popcorn_msg_test_multicast_all_answer),
	KUNIT_CASE_SLOW(popcorn_msg_test_multicast_by_all_transports),
	KUNIT_CASE(popcorn_msg_test_multicast_some_fail),
	KUNIT_CASE(popcorn_msg_test_multicast_any_order),
	KUNIT_CASE(popcorn_msg_test_multicast_out_of_time),
	KUNIT_CASE(popcorn_msg_test_multicast_interrupted),
	KUNIT_CASE(popcorn_msg_test_multicast_no_room),
	KUNIT_CASE_SLOW(popcorn_msg_test_declared),
	KUNIT_CASE(popcorn_msg_test_undeclared_answers),
	KUNIT_CASE(popcorn_msg_test_pages),
	KUNIT_CASE(popcorn_msg_test_part_in_order),
	KUNIT_CASE(popcorn_msg_test_part_refused),
	KUNIT_CASE(popcorn_msg_test_part_too_slow),
	KUNIT_CASE(popcorn_msg_test_part_called_off),
	KUNIT_CASE(popcorn_msg_test_part_from_lost),
	KUNIT_CASE(popcorn_msg_test_part_both),
	KUNIT_CASE(popcorn_msg_test_tcp_echo),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_by_ipv6),
	KUNIT_CASE(popcorn_msg_test_tcp_options),
	KUNIT_CASE(popcorn_msg_test_tcp_errors),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_broken_connections),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_silence),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_leaves_and_returns),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_strangers),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_silent_ones),
	KUNIT_CASE(popcorn_msg_test_tcp_back_pressure),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_many_callers),
	KUNIT_CASE(popcorn_msg_test_tcp_pages),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_pages_again),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_half_open_bulk),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_deaf_bulk),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_takes_no_bulk),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_never_connects_bulk),
	KUNIT_CASE_SLOW(popcorn_msg_test_tcp_one_bulk_answer),
	KUNIT_CASE(popcorn_msg_test_tcp_late_hello),
	KUNIT_CASE(popcorn_msg_test_tcp_next_session),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_two),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_short_cut),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_three),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_restart),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_leave),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_leave_one),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_leave_lost),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_lost_goodbye),
	KUNIT_CASE_SLOW(popcorn_msg_test_members_force),
	KUNIT_CASE(popcorn_msg_test_statistics),
	KUNIT_CASE(popcorn_msg_test_failed_calls),
	KUNIT_CASE(popcorn_msg_test_stalls),
	KUNIT_CASE(popcorn_msg_test_many_types),
	{},
};

static struct kunit_suite popcorn_msg_suite = {
	.name = "popcorn_msg",
	.test_cases = popcorn_msg_cases,
};
kunit_test_suite(popcorn_msg_suite);

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Time by the processor's time-stamp counter, which is one for all kernels of a machine.
 */
#ifndef SELFTESTS_STAMP_H
#define SELFTESTS_STAMP_H

#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

static inline uint64_t stamp(void)
{
	unsigned int aux;
	uint64_t tsc = __rdtscp(&aux);

	__asm__ volatile("" : : : "memory");
	return tsc;
}

/* Ticks of the counter in a nanosecond, by CLOCK_MONOTONIC over a twentieth of a second. */
static inline double stamps_per_ns(void)
{
	struct timespec a, b, pause = { .tv_nsec = 50000000 };
	uint64_t from, to;

	clock_gettime(CLOCK_MONOTONIC, &a);
	from = stamp();
	nanosleep(&pause, NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	to = stamp();
	return (double)(to - from) / ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec);
}

#endif /* SELFTESTS_STAMP_H */

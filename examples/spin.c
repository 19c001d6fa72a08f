// SPDX-License-Identifier: GPL-2.0
/*
 * A program that computes and knows nothing of nodes: a segmented sieve. It makes no system call
 * between its start and its result, so whoever moves it must catch it in the middle of user code.
 *
 * spin SEGMENTS: count the primes below SEGMENTS * 262144.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT (1UL << 18)

/* All primes below limit, in a new array; *count says how many. */
static uint32_t *small_primes(uint64_t limit, size_t *count)
{
	unsigned char *composite = calloc(limit + 1, 1);
	uint32_t *primes = malloc((limit + 1) * sizeof(*primes));

	if (!composite || !primes) {
		perror("spin");
		exit(1);
	}
	*count = 0;
	for (uint64_t n = 2; n < limit; n++) {
		if (composite[n])
			continue;
		primes[(*count)++] = n;
		for (uint64_t m = n * n; m < limit; m += n)
			composite[m] = 1;
	}
	free(composite);
	return primes;
}

int main(int argc, char **argv)
{
	static unsigned char composite[SEGMENT];
	uint64_t segments, root = 1, count = 0, checksum = 0;
	size_t base_count;
	uint32_t *base;
	char *end;

	segments = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
	if (!segments || *end || segments > 1UL << 40) {
		fprintf(stderr, "Usage: spin SEGMENTS\n");
		return 2;
	}
	while (root * root < segments * SEGMENT)
		root++;
	base = small_primes(root + 1, &base_count);

	for (uint64_t s = 0; s < segments; s++) {
		uint64_t low = s * SEGMENT;

		memset(composite, 0, sizeof(composite));
		for (size_t i = 0; i < base_count && (uint64_t)base[i] * base[i] < low + SEGMENT;
		     i++) {
			uint64_t p = base[i], m = (low + p - 1) / p * p;

			if (m < p * p)
				m = p * p;
			for (m -= low; m < SEGMENT; m += p)
				composite[m] = 1;
		}
		for (uint64_t n = low < 2 ? 2 : 0; n < SEGMENT; n++) {
			if (!composite[n]) {
				count++;
				checksum = (checksum ^ (low + n)) * 0x100000001b3ULL;
			}
		}
	}
	printf("primes below %lu: %lu, checksum %016lx\n", segments * SEGMENT, count, checksum);
	free(base);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Work whose result is known, done again and again until SIGTERM: on a processor, in memory, or on a block
 * device. guest/chaos lets it run while processors and memory come and go. It uses nothing of Popcorn.
 *
 *   load cpu | memory MIB | block FILE MIB
 *
 * Exit status: 0 if all rounds were right and there was one at least, whose number it prints; 1 at the first
 * that was wrong. Once it has said that it begins, the round after a SIGUSR1
 * spoils a byte of its own, which it must notice: so a test can see that it looks.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL

static volatile sig_atomic_t stop, spoil;

static void on_signal(int signal)
{
	if (signal == SIGTERM)
		stop = 1;
	else
		spoil = 1;
}

/* The byte that a round is to change behind its own back, once. */
static void maybe_spoil(void *byte)
{
	if (!spoil)
		return;
	spoil = 0;
	*(volatile uint8_t *)byte ^= 0x10;
}

/* The word that belongs at @index in round @round (the finaliser of splitmix64). */
static uint64_t pattern(uint64_t round, uint64_t index)
{
	uint64_t x = (round << 40) + index + 1;

	x *= 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static void fill(uint64_t *words, size_t count, uint64_t round, uint64_t first)
{
	for (size_t i = 0; i < count; i++)
		words[i] = pattern(round, first + i);
}

static bool check(const uint64_t *words, size_t count, uint64_t round, uint64_t first)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t right = pattern(round, first + i);

		if (words[i] != right) {
			warnx("word %zu of round %lu is %#lx, not %#lx", (size_t)first + i, round,
			      words[i], right);
			return false;
		}
	}
	return true;
}

/*
 * Two things that mathematics knows: there are 78,498 primes below a million, and the integral of
 * 4 / (1 + x * x) from 0 to 1 is pi.
 */
static bool cpu_round(uint64_t round)
{
	enum {
		LIMIT = 1000000,
		PRIMES = 78498,
		STEPS = 1000000
	};
	static uint8_t composite[LIMIT];
	const double pi = 3.14159265358979323846;
	double sum = 0;
	int primes = 0;

	(void)round;
	memset(composite, 0, sizeof(composite));
	for (int i = 2; i < LIMIT; i++) {
		if (composite[i])
			continue;
		primes++;
		for (int j = 2 * i; j < LIMIT; j += i)
			composite[j] = 1;
	}
	maybe_spoil(&primes);
	for (int i = 0; i < STEPS; i++) {
		double x = (i + 0.5) / STEPS;

		sum += 4 / (1 + x * x);
	}
	sum = sum / STEPS - pi;
	if (primes == PRIMES && sum > -1e-9 && sum < 1e-9)
		return true;
	warnx("%d primes instead of %d; pi is wrong by %g", primes, PRIMES, sum);
	return false;
}

static uint64_t *memory;
static size_t memory_words;

/* Fresh pages each time: what was given back must be good for something. */
static bool memory_round(uint64_t round)
{
	size_t bytes = memory_words * sizeof(*memory);
	bool right = true;

	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "%zu bytes of memory", bytes);
	fill(memory, memory_words, round, 0);
	/* Some time for the pages to be moved elsewhere, which the taking of memory does. */
	for (int look = 0; look < 4 && right && (!look || !stop); look++) {
		usleep(200000);
		maybe_spoil(&memory[memory_words / 2]);
		right = check(memory, memory_words, round, 0);
	}
	munmap(memory, bytes);
	return right;
}

static const char *path;
static size_t blocks;

/* Writes the file anew, sees to it that it is on the device and not in memory any more, and reads it. */
static bool block_round(uint64_t round)
{
	static uint64_t block[64 * PAGE / sizeof(uint64_t)];
	const size_t words = sizeof(block) / sizeof(block[0]);
	bool right = true;
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (file < 0)
		err(1, "%s", path);
	for (size_t i = 0; i < blocks; i++) {
		fill(block, words, round, i * words);
		if (pwrite(file, block, sizeof(block), i * sizeof(block)) != (ssize_t)sizeof(block))
			err(1, "writing %s", path);
	}
	if (fsync(file) || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED))
		err(1, "%s to the device", path);
	for (size_t i = 0; i < blocks && right; i++) {
		if (pread(file, block, sizeof(block), i * sizeof(block)) != (ssize_t)sizeof(block))
			err(1, "reading %s", path);
		maybe_spoil(block);
		right = check(block, words, round, i * words);
	}
	close(file);
	return right;
}

static size_t mib(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 1 || value > 4096)
		errx(2, "'%s' is no number of MiB", text);
	return (size_t)value << 20;
}

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	bool (*one_round)(uint64_t round);
	uint64_t rounds = 0;

	if (argc == 2 && !strcmp(argv[1], "cpu")) {
		one_round = cpu_round;
	} else if (argc == 3 && !strcmp(argv[1], "memory")) {
		one_round = memory_round;
		memory_words = mib(argv[2]) / sizeof(*memory);
	} else if (argc == 4 && !strcmp(argv[1], "block")) {
		one_round = block_round;
		path = argv[2];
		blocks = mib(argv[3]) / (64 * PAGE);
	} else {
		errx(2, "usage: load cpu | memory MIB | block FILE MIB");
	}
	if (sigaction(SIGTERM, &action, NULL) || sigaction(SIGUSR1, &action, NULL))
		err(2, "sigaction");
	puts("begins");
	fflush(stdout);
	while (!stop) {
		if (!one_round(rounds))
			return 1;
		rounds++;
	}
	printf("%lu rounds\n", rounds);
	return fflush(stdout) || !rounds;
}

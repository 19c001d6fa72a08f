// SPDX-License-Identifier: GPL-2.0
/*
 * Bad input to all of Popcorn's interfaces that make kernels, from several processes at once: random and
 * hostile values to every file of /sys/kernel/config/popcorn_boot, in any order, and any call on
 * /dev/popcorn_boot and /dev/popcorn; now and then what makes a kernel start. Processes are killed at random
 * moments, whatever they wait for.
 *
 *   fuzz SECONDS [SEED [KERNEL INITRD]]
 *
 * It answers for errors: only those that docs/uapi.md knows for that file or call; for processes: each can be
 * killed, and none dies otherwise; for itself: it has made kernels, started some and bound files to them; and in
 * the end every kernel that it made can be removed and every processor is back. Exit status 0 if all that was so. What the kernels' logs say is for whoever runs it: guest/fuzz.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/popcorn.h>
#include <linux/popcorn_boot.h>

#define ROOT	      "/sys/kernel/config/popcorn_boot"
#define PIPE	      "/tmp/fuzz.pipe"
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE	      4096UL
#define PROCESSES     6
#define DEATH_TIME_OUT \
	150 /* s; what cannot be killed at once has bounds of its own, and some do add up */
#define ERRNO_MAX 134

/* What the processes have in common. */
static struct {
	_Atomic unsigned long calls, failures, errors[ERRNO_MAX];
	_Atomic unsigned long made, started, bound; /* what went well */
	pid_t children[PROCESSES];
} *shared;

static const char *real_kernel, *real_initrd;

/* --- chance --- */

static uint64_t chance;

static uint64_t next(void)
{
	chance ^= chance >> 12;
	chance ^= chance << 25;
	chance ^= chance >> 27;
	return chance * 0x2545f4914f6cdd1d;
}

static size_t below(size_t limit)
{
	return (next() >> 16) % limit;
}

static bool one_in(size_t odds)
{
	return !below(odds);
}

#define ONE_OF(array) ((array)[below(ARRAY_SIZE(array))])

/* --- what may come of a call --- */

/* Errors that may come of a call, 0 at the end. */
#define ERRORS(...) (const int[]){ __VA_ARGS__, 0 }

/* Linux's own: paths, permissions of files, pointers, memory for a file. */
#define OF_PATHS      ENOENT, EACCES, ENAMETOOLONG, ENOMEM
#define OF_FILES      EFAULT, EINVAL, EBADF, ESPIPE
/* Of any structure that a call takes. */
#define OF_STRUCTURES EFAULT, EINVAL, E2BIG

__attribute__((format(printf, 1, 2))) static void failure(const char *format, ...)
{
	va_list arguments;

	shared->failures++;
	fprintf(stderr, "fuzz: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* Counts a call, and looks at its error. */
static long said(const char *what, long result, const int *errors)
{
	int error = errno;

	shared->calls++;
	if (result != -1)
		return result;
	if (error > 0 && error < ERRNO_MAX)
		shared->errors[error]++;
	while (*errors)
		if (error == *errors++)
			return result;
	failure("%s: error %d (%s) is not documented", what, error, strerror(error));
	return result;
}

/* As said(), of a call that makes something: counts what it has made. */
static void made(_Atomic unsigned long *count, const char *what, long result, const int *errors)
{
	if (said(what, result, errors) != -1)
		++*count;
}

/* --- bad things to give away --- */

/* Memory that is followed by so much that is not that no kernel gets across. */
static char *arena;
#define ARENA	    (16UL << 20)
#define ARENA_GUARD (64UL << 30)

static void make_arena(void)
{
	arena = mmap(NULL, ARENA + ARENA_GUARD, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED || mprotect(arena, ARENA, PROT_READ | PROT_WRITE))
		err(2, "memory");
}

static void *pointer(size_t size)
{
	switch (below(8)) {
	case 0:
		return NULL;
	case 1:
		return (void *)-1L;
	case 2:
		return (void *)0xffffffff81000000;
	case 3: /* only its beginning is there */
		return arena + ARENA - below(size + 1);
	case 4:
		return (void *)(next() & 0x7fffffffffff);
	default:
		return arena + below(PAGE) + 8 * PAGE;
	}
}

static size_t length(void)
{
	static const size_t lengths[] = {
		0,     1,	7,	 16,	    255,      4095,	 4096,		 4097,
		65536, 1 << 20, INT_MAX, SSIZE_MAX, SIZE_MAX, 1UL << 32, (1UL << 32) + 1
	};

	return ONE_OF(lengths);
}

static uint64_t number(void)
{
	static const uint64_t numbers[] = { 0,	       1,	   2,	       3,
					    7,	       24,	   48,	       63,
					    64,	       65,	   72,	       88,
					    120,       4096,	   4097,       65536,
					    INT_MAX,   0x80000000, UINT32_MAX, 1ULL << 32,
					    INT64_MAX, 1ULL << 63, UINT64_MAX };

	return one_in(8) ? next() : ONE_OF(numbers);
}

/* --- files of a kernel --- */

static const char *const values_bad[] = {
	"",
	"\n",
	" ",
	"\t \n",
	"0",
	"-1",
	"00",
	"+1",
	"1",
	"2",
	"any",
	"yes",
	"1\n1",
	"4294967295",
	"4294967296",
	"18446744073709551615",
	"18446744073709551616",
	"99999999999999999999999999999",
	"0x",
	"0x1g",
	"1e9",
	"1-",
	"-3",
	"1--2",
	"1-2-3",
	"3-1",
	",",
	",,",
	",1",
	"1,",
	"1,1",
	"1,,2",
	"1-3,2",
	"0-4294967295",
	"0-63",
	"1;2",
	"1 2",
	"1\t,2",
	"%s%n%x%p",
	"..",
	"/",
	"//",
	"1M",
	"63M",
	"65M",
	"64M@",
	"@64M",
	"@",
	"64M@@1",
	"64M@-1",
	"64M@0",
	"64M@0x100000",
	"64M@0xffffffffffffffff",
	"64M@0xfffffffffffff000",
	"64MM",
	"M",
	"64m ",
	"18446744073709551615K",
	"17179869184G",
	"100G",
	"1T",
	"300G",
	"0x4000000",
	"-64M",
	"64.5M",
	"64K@0x70000",
	"48K@0x10000",
	"64K@0x9f000",
	"4K@0x1000",
	"64K@0xfffffffffffff000",
	"0K@0x70000",
	"0000:00:00.0",
	"0000:00:1f.2",
	"ffff:ff:1f.7",
	"0000:00:01.0,0000:00:01.0",
	"0000:00:02",
	"00:00:00:00",
	"zzzz:zz:zz.z",
	"acpi=off",
	"memmap=1G@0",
	"noapic",
	"-- x",
	"panic=-1",
	"\"",
	"a=\"b",
	"\x7f",
	"\xff\xfe",
	"console=ttyS0",
	"/no/such/file",
	"/dev/zero",
	"/dev/null",
	"/proc/self/mem",
	"/proc/kcore",
	"/proc/kmsg",
	"/proc/self/maps",
	"/sys/devices/system/cpu/online",
	"/etc/passwd",
	"/usr/bin/bash",
	"/tmp",
	"/dev/popcorn_boot",
	"relative",
	ROOT "/f0/state",
	ROOT "/f1/memory",
	ROOT "/f0",
	PIPE,
	"/proc/self/fd/0",
	"/proc/self/cwd",
};

static const char *const values_cpus[] = { "1", "2", "3", "1-2", "2-3", "1-3", "3,1", "" };
static const char *const values_memory[] = { "64M", "66M", "128M", "0", "0x8000000" };
static const char *const values_go[] = { "1", "1\n", "1", "0", "11" };

static const char *const values_id[] = { "0123456789abcdef0123456789abcdef",
					 "00000000000000000000000000000000" };

/* Of any write: no right, somebody else is at work, too long, no sense, and that the directory goes. */
#define OF_WRITES EPERM, EBUSY, EMSGSIZE, EINVAL, ENOMEM, ENODEV, ENOENT, EFAULT
#define OF_LISTS  E2BIG, ERANGE, EOPNOTSUPP
#define OF_LOADS \
	ENXIO, ENOENT, EACCES, ENOTDIR, EISDIR, ELOOP, ENOEXEC, EFBIG, ENAMETOOLONG, EIO, EINTR
/* Of a change that a kernel which runs must agree to. */
#define OF_CHANGES ETIMEDOUT, ESRCH, EINTR

static const struct attribute {
	const char *name;
	const int *errors; /* of writing; NULL: it cannot be written */
	const char *const *good;
	size_t count;
	bool may_have_no_memory; /* reading is ENXIO then */
} attributes[] = {
	{ "cpus", ERRORS(OF_WRITES, OF_LISTS, OF_CHANGES), values_cpus, ARRAY_SIZE(values_cpus) },
	{ "possible_cpus", ERRORS(OF_WRITES, OF_LISTS), values_cpus, ARRAY_SIZE(values_cpus) },
	{ "memory", ERRORS(OF_WRITES, ERANGE, ENXIO, ENOSPC, EOPNOTSUPP, EEXIST, OF_CHANGES),
	  values_memory, ARRAY_SIZE(values_memory) },
	{ "low_memory", ERRORS(OF_WRITES, ERANGE) },
	{ "devices", ERRORS(OF_WRITES, EOPNOTSUPP, EIO) },
	{ "kernel", ERRORS(OF_WRITES) },
	{ "initrd", ERRORS(OF_WRITES) },
	{ "command_line", ERRORS(OF_WRITES, ENAMETOOLONG) },
	{ "machine_id", ERRORS(OF_WRITES), values_id, ARRAY_SIZE(values_id) },
	{ "load", ERRORS(OF_WRITES, OF_LOADS), values_go, ARRAY_SIZE(values_go) },
	{ "start", ERRORS(OF_WRITES, OF_LOADS, ETIMEDOUT), values_go, ARRAY_SIZE(values_go) },
	{ "stop", ERRORS(OF_WRITES, OF_CHANGES), values_go, ARRAY_SIZE(values_go) },
	{ "kill", ERRORS(OF_WRITES, ESRCH, EINTR), values_go, ARRAY_SIZE(values_go) },
	{ "state" },
	{ "node" },
	{ "hardware_ids" },
	{ "memory_ranges" },
	{ "numa_cpus" },
	{ "numa_memory" },
	{ "memory_booted" },
	{ "memory_portion" },
	{ "window", .may_have_no_memory = true },
	{ "starts" },
	{ "started_ns" },
	{ "boot_ns", .may_have_no_memory = true },
	{ "no_such_file" },
};

static void make_kernel(const char *path)
{
	made(&shared->made, "mkdir", mkdir(path, 0755),
	     ERRORS(EPERM, EINVAL, ENAMETOOLONG, EEXIST, ENOSPC, ENOMEM, EACCES));
}

static const struct attribute *attribute_named(const char *name)
{
	const struct attribute *attribute = attributes;

	while (strcmp(attribute->name, name))
		attribute++;
	return attribute;
}

/* Counts a write to a file of a kernel. */
static void wrote(const struct attribute *attribute, long result)
{
	static const int none[] = { 0 };
	char what[64];
	bool starts = !strcmp(attribute->name, "start");

	snprintf(what, sizeof(what), "write to %s", attribute->name);
	if (starts && result > 0)
		shared->started++;
	said(what, result, attribute->errors ?: none);
}

static const char *kernel_name(void)
{
	static const char *const names[] = { "f0", "f1", "f2", "f3" };
	static const char *const bad[] = { "-f",  "f f", ".f",	  "f.g", "\xc3\xb6",
					   "f\n", "%s",	 "FUZZ_", "f" };
	static char long_one[300];

	if (!one_in(12))
		return ONE_OF(names);
	if (!one_in(3))
		return ONE_OF(bad);
	memset(long_one, 'f', sizeof(long_one));
	long_one[60 + below(200)] = 0;
	return long_one;
}

static const char *file_of(const char *kernel, const char *file)
{
	static char path[1024];

	snprintf(path, sizeof(path), ROOT "/%s/%s", kernel, file);
	return path;
}

/* A value for a file, in the arena; its length. */
static size_t value_for(const struct attribute *attribute)
{
	const char *text = ONE_OF(values_bad);
	size_t size;

	if (attribute->count && one_in(2))
		text = attribute->good[below(attribute->count)];
	else if (real_kernel && !strcmp(attribute->name, "kernel") && !one_in(4))
		text = real_kernel;
	else if (real_kernel && !strcmp(attribute->name, "initrd") && !one_in(4))
		text = real_initrd;
	strcpy(arena, text);
	size = strlen(text);
	switch (below(16)) {
	case 0: /* another byte */
		if (size)
			arena[below(size)] = next();
		break;
	case 1: /* NUL in it, or behind it */
		arena[below(size + 1)] = 0;
		size++;
		break;
	case 2: { /* long */
		static const size_t sizes[] = { 2047, 2048, 4093, 4094, 4095, 4096, 4097, 65536 };
		const char fill[] = { 'A', '1', ',', ' ', '/', 0, '\n' };

		size = ONE_OF(sizes);
		memset(arena, ONE_OF(fill), size);
		break;
	}
	case 3: /* noise */
		size = below(64);
		for (size_t i = 0; i < size; i++)
			arena[i] = next();
		break;
	case 4: /* twice, with something between */
		if (size && size < PAGE) {
			memcpy(arena + size + 1, arena, size);
			arena[size] = ONE_OF(((const char[]){ ',', '-', '@', ' ', '\n', ':' }));
			size = 2 * size + 1;
		}
		break;
	}
	return size;
}

static void write_value(const char *kernel, const struct attribute *attribute)
{
	int file = said("open for writing",
			open(file_of(kernel, attribute->name), O_WRONLY | O_CLOEXEC),
			ERRORS(OF_PATHS));
	size_t size;

	if (file < 0)
		return;
	do {
		size = value_for(attribute);
		switch (below(12)) {
		case 0:
			wrote(attribute, pwrite(file, arena, size, number() & INT64_MAX));
			break;
		case 1:
			wrote(attribute, write(file, pointer(size), size));
			break;
		case 2: {
			struct iovec parts[] = { { arena, size / 2 },
						 { arena + size / 2, size - size / 2 } };

			wrote(attribute, writev(file, parts, ARRAY_SIZE(parts)));
			break;
		}
		default:
			wrote(attribute, write(file, arena, size));
		}
	} while (one_in(4));
	close(file);
}

static void read_value(const char *kernel, const struct attribute *attribute)
{
	static const int usual[] = { OF_FILES, ENOENT, ENOMEM, 0 };
	static const int without_memory[] = { OF_FILES, ENOENT, ENOMEM, ENXIO, 0 };
	const int *errors = attribute->may_have_no_memory ? without_memory : usual;
	int file = said("open for reading",
			open(file_of(kernel, attribute->name), O_RDONLY | O_CLOEXEC),
			ERRORS(OF_PATHS));
	char what[64];
	size_t size;

	if (file < 0)
		return;
	snprintf(what, sizeof(what), "read of %s", attribute->name);
	size = length();
	if (one_in(4))
		said(what, pread(file, pointer(PAGE), size, number() & INT64_MAX), errors);
	else
		said(what,
		     read(file, one_in(4) ? pointer(PAGE) : arena, size > ARENA ? ARENA : size),
		     errors);
	close(file);
}

static void put(const char *kernel, const char *name, const char *text)
{
	int file = open(file_of(kernel, name), O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	wrote(attribute_named(name), write(file, text, strlen(text)));
	close(file);
}

/* What a reasonable user does, if nobody comes between. */
static void bring_up(const char *kernel)
{
	make_kernel(file_of(kernel, ""));
	put(kernel, "cpus", ONE_OF(values_cpus));
	put(kernel, "memory", one_in(2) ? "192M" : "256M");
	put(kernel, "kernel", real_kernel);
	put(kernel, "initrd", real_initrd);
	put(kernel, "command_line", "quiet");
	put(kernel, "start", "1");
	if (one_in(2))
		usleep(below(8000000));
	if (!one_in(3))
		put(kernel, one_in(4) ? "stop" : "kill", "1");
}

/* Processors come and go for others' reasons, too. */
static void toggle_cpu(void)
{
	char path[64];
	int file;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%zu/online", 1 + below(3));
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return;
	/* Linux's own file. One that is another kernel's is not present, or not this kernel's. */
	said("a processor's online", write(file, one_in(3) ? "0" : "1", 1),
	     ERRORS(EINVAL, EBUSY, EPERM, ENODEV, EAGAIN, EINTR, ENOMEM));
	close(file);
}

/* --- devices --- */

/* Any operation on an open file, whose own errors come with it: of calls, of reading, of writing. */
static void any_operation(int file, const int *calls, const int *reads, const int *writes)
{
	static const int positions[] = { EINVAL, ESPIPE, ENXIO, EOVERFLOW, 0 };
	static const int maps[] = { ENODEV, EACCES, EINVAL, ENOMEM, EPERM, 0 };
	static const unsigned int terminal[] = { TIOCGWINSZ, TIOCSWINSZ, TIOCMGET, TIOCSTI,
						 TCGETS,     FIONREAD,	 FIONBIO };
	void *mapped;

	switch (below(12)) {
	case 0:
		said("ioctl of any kind", ioctl(file, next(), pointer(PAGE)), calls);
		break;
	case 1:
		said("ioctl",
		     ioctl(file, _IOC(below(4), 'P', below(256), below(1 << 13)), pointer(PAGE)),
		     calls);
		break;
	case 2:
		said("ioctl of a terminal", ioctl(file, ONE_OF(terminal), pointer(PAGE)), calls);
		break;
	case 3:
	case 4:
		said("read of a device", read(file, pointer(PAGE), length()), reads);
		break;
	case 5:
	case 6:
		said("write to a device", write(file, pointer(PAGE), length()), writes);
		break;
	case 7:
		said("pread of a device", pread(file, pointer(PAGE), length(), number()), reads);
		break;
	case 8:
		said("pwrite to a device", pwrite(file, pointer(PAGE), length(), number()), writes);
		break;
	case 9:
		said("lseek", lseek(file, number(), below(6)), positions);
		break;
	case 10:
		mapped = mmap(NULL, (1 + below(64)) * PAGE, 1 + below(7),
			      one_in(2) ? MAP_SHARED : MAP_PRIVATE, file, below(1 << 20) * PAGE);
		said("mmap", mapped == MAP_FAILED ? -1 : 0, maps);
		if (mapped != MAP_FAILED)
			failure("a device was mapped");
		break;
	case 11: {
		struct pollfd one = { .fd = file, .events = next() };

		said("poll", poll(&one, 1, 0), ERRORS(EINTR));
		break;
	}
	}
}

static void use_boot_device(void)
{
	/* Of a kernel that is gone, has no memory, or other memory by now. */
	static const int attaches[] = { OF_STRUCTURES, EPERM,  ENOENT, EBUSY, ENXIO,
					ESRCH,	       ENODEV, ENOMEM, 0 };
	static const int calls[] = { OF_STRUCTURES, EPERM,  ENOENT, EBUSY,  ENXIO, ESRCH,
				     ENODEV,	    ENOMEM, ENOTTY, ESTALE, 0 };
	static const int reads[] = {
		OF_FILES, ENODEV, ENXIO, ESTALE, EIO, EAGAIN, EINTR, ENOMEM, 0
	};
	int flags = (one_in(4) ? 0 : O_NONBLOCK) | (one_in(4) ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	int file =
		said("open /dev/popcorn_boot", open("/dev/popcorn_boot", flags), ERRORS(OF_PATHS));

	if (file < 0)
		return;
	for (size_t i = below(16); i; i--) {
		if (one_in(3)) {
			struct popcorn_boot_attach attach = {
				.size = one_in(6) ? number() : sizeof(attach),
				.what = one_in(6) ? number() : 1 + below(3),
			};

			if (one_in(8))
				memset(attach.name, 'f', sizeof(attach.name));
			else
				snprintf(attach.name, sizeof(attach.name), "%s", kernel_name());
			memcpy(arena, &attach, sizeof(attach));
			made(&shared->bound, "attach",
			     ioctl(file, POPCORN_BOOT_IOC_ATTACH,
				   one_in(8) ? pointer(sizeof(attach)) : arena),
			     attaches);
		} else {
			any_operation(file, calls, reads, reads);
		}
	}
	close(file);
}

/* Only one's own: the threads of all others are not to be sent to a kernel that is about to die. */
static int thread(void)
{
	static const int threads[] = { 0, -1, INT_MIN, INT_MAX, 999999999 };

	if (one_in(3))
		return shared->children[below(PROCESSES)] ?: -1;
	return ONE_OF(threads);
}

#define OF_NODES ENODEV, EHOSTDOWN, EIO, EINTR, EPERM

static const int migrates[] = { OF_STRUCTURES, OF_NODES, EALREADY, ESRCH,
				EOPNOTSUPP,    ENOMEM,	 EAGAIN,   0 };
static const int lists[] = { OF_STRUCTURES, ENOMEM, 0 };
static const int threads_lists[] = { OF_STRUCTURES, ENOMEM, EPERM, 0 };
static const int message_counts[] = { OF_STRUCTURES, ENOMEM, ENODEV, 0 };
static const int pings[] = { OF_STRUCTURES, OF_NODES, ENOMEM, ETIMEDOUT, 0 };

/* Calls of /dev/popcorn with any contents, in the arena; the number of the call, and its errors. */
static unsigned int fill_call(const int **errors)
{
	uint32_t *words = (uint32_t *)arena;

	for (size_t i = 0; i < 16; i++)
		words[i] = one_in(3) ? number() : 0;
	switch (below(5)) {
	case 0: {
		struct popcorn_migrate *call = (void *)arena;

		call->size = one_in(6) ? number() : sizeof(*call);
		call->node = (int)below(6) - 1;
		call->tid = thread();
		call->flags = one_in(3) ? number() : below(4);
		*errors = migrates;
		return POPCORN_IOC_MIGRATE;
	}
	case 1: {
		struct popcorn_nodes *call = (void *)arena;

		call->size = one_in(6) ? number() : sizeof(*call);
		call->nodes = (uintptr_t)pointer(PAGE);
		*errors = lists;
		return POPCORN_IOC_NODES;
	}
	case 2: {
		struct popcorn_threads *call = (void *)arena;

		call->size = one_in(6) ? number() : sizeof(*call);
		call->threads = (uintptr_t)pointer(PAGE);
		call->pid = thread();
		*errors = threads_lists;
		return POPCORN_IOC_THREADS;
	}
	case 3: {
		struct popcorn_msg_stats *call = (void *)arena;

		call->size = one_in(6) ? number() : sizeof(*call);
		call->stats = (uintptr_t)pointer(PAGE);
		call->node = (int)below(6) - 1;
		*errors = message_counts;
		return POPCORN_IOC_MSG_STATS;
	}
	default: {
		struct popcorn_ping *call = (void *)arena;

		call->size = one_in(6) ? number() : sizeof(*call);
		call->node = below(6);
		call->bytes = one_in(3) ? number() : below(5000);
		call->count = one_in(3) ? number() : below(100);
		*errors = pings;
		return POPCORN_IOC_PING;
	}
	}
}

static void use_device(void)
{
	/* It answers calls only. */
	static const int calls[] = { OF_STRUCTURES, OF_NODES, EALREADY, ESRCH,	   EOPNOTSUPP,
				     ENOMEM,	    EAGAIN,   ENOTTY,	ETIMEDOUT, 0 };
	static const int transfers[] = { OF_FILES, 0 };
	int file = said("open /dev/popcorn", open("/dev/popcorn", O_RDWR | O_CLOEXEC),
			ERRORS(OF_PATHS));

	if (file < 0)
		return;
	for (size_t i = below(16); i; i--) {
		const int *errors;
		unsigned int call;

		if (one_in(4)) {
			any_operation(file, calls, transfers, transfers);
			continue;
		}
		call = fill_call(&errors);
		said(errors == migrates		? "migrate"
		     : errors == lists		? "nodes"
		     : errors == threads_lists	? "threads"
		     : errors == message_counts ? "messages"
						: "ping",
		     ioctl(file, call, one_in(8) ? pointer(64) : arena), errors);
	}
	close(file);
}

/* --- processes --- */

static __attribute__((noreturn)) void live(uint64_t seed)
{
	chance = seed | 1;
	for (int i = 0; i < 8; i++)
		next();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	make_arena();
	/* A migration for the next exec must not find one. */
	if (one_in(6) && setresuid(65534, 65534, 65534))
		_exit(2);
	for (;;) {
		const char *kernel = kernel_name();
		const struct attribute *attribute = &ONE_OF(attributes);

		switch (below(32)) {
		case 0 ... 3:
			make_kernel(file_of(kernel, ""));
			break;
		case 4 ... 5:
			said("rmdir", rmdir(file_of(kernel, "")), ERRORS(EBUSY, EINTR, OF_PATHS));
			break;
		case 6 ... 17:
			write_value(kernel, attribute);
			break;
		case 18 ... 21:
			read_value(kernel, attribute);
			break;
		case 22 ... 25:
			use_boot_device();
			break;
		case 26 ... 28:
			use_device();
			break;
		case 29:
			toggle_cpu();
			break;
		case 30:
			said("unlink", unlink(file_of(kernel, attribute->name)),
			     ERRORS(EPERM, OF_PATHS));
			break;
		case 31:
			if (real_kernel)
				bring_up(kernel);
			break;
		}
	}
}

static void spawn(int slot)
{
	uint64_t seed = next();
	pid_t child = fork();

	if (child < 0)
		err(2, "fork");
	if (!child)
		live(seed);
	shared->children[slot] = child;
}

/* Kills a process that may be waiting for anything, and looks at how it ends. */
static void end(int slot)
{
	pid_t child = shared->children[slot];
	int status;

	/* It may be dead already: of a kernel to which it had gone, or of a page that was lost with that. */
	kill(child, SIGKILL);
	for (int tenths = 0; waitpid(child, &status, WNOHANG) != child; tenths++) {
		if (tenths > DEATH_TIME_OUT * 10) {
			failure("process %d cannot be killed", child);
			return;
		}
		usleep(100000);
	}
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGBUS))
		failure("process %d ended with status %#x", child, status);
}

/* --- afterwards --- */

static bool remove_all(void)
{
	DIR *root = opendir(ROOT);
	struct dirent *entry;
	bool left = false;

	if (!root)
		return false;
	while ((entry = readdir(root))) {
		char name[256];

		if (entry->d_name[0] == '.' && strspn(entry->d_name, ".") == strlen(entry->d_name))
			continue;
		snprintf(name, sizeof(name), "%s", entry->d_name);
		put(name, "kill", "1");
		if (rmdir(file_of(name, "")))
			left = true;
	}
	closedir(root);
	return !left;
}

static void all_online(void)
{
	char path[64];

	for (int cpu = 1; cpu < 4; cpu++) {
		int file;

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
		file = open(path, O_WRONLY | O_CLOEXEC);
		if (file < 0)
			continue;
		/* "Is already" is an answer, too. */
		if (write(file, "1", 1) != 1)
			warn("%s", path);
		close(file);
	}
}

static void clean_up(long processors)
{
	for (int tenths = 0; !remove_all(); tenths++) {
		if (tenths > 600) {
			failure("a kernel cannot be removed");
			break;
		}
		usleep(100000);
	}
	all_online();
	if (sysconf(_SC_NPROCESSORS_ONLN) != processors)
		failure("%ld processors instead of %ld", sysconf(_SC_NPROCESSORS_ONLN), processors);
	unlink(PIPE);
}

int main(int argc, char **argv)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	time_t until;

	if (argc < 2 || atol(argv[1]) < 1)
		errx(2, "usage: fuzz SECONDS [SEED [KERNEL INITRD]]");
	until = time(NULL) + atol(argv[1]);
	chance = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	chance = chance * 0x9e3779b97f4a7c15 | 1;
	if (argc > 4) {
		real_kernel = argv[3];
		real_initrd = argv[4];
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		err(2, "memory");
	if (mkfifo(PIPE, 0600) && errno != EEXIST)
		err(2, PIPE);
	for (int slot = 0; slot < PROCESSES; slot++)
		spawn(slot);
	while (time(NULL) < until && !shared->failures) {
		int slot = below(PROCESSES);

		usleep(50000 + below(1000000));
		end(slot);
		spawn(slot);
	}
	for (int slot = 0; slot < PROCESSES; slot++)
		end(slot);
	chance = 1;
	clean_up(processors);

	/* One that does nothing finds nothing. */
	if (!shared->made || !shared->bound || (real_kernel && !shared->started))
		failure("no kernel was made, started, or a file bound to one");
	printf("%lu calls, %lu failures; %lu kernels made, %lu started, %lu files bound\n",
	       shared->calls, shared->failures, shared->made, shared->started, shared->bound);
	for (int error = 1; error < ERRNO_MAX; error++)
		if (shared->errors[error])
			printf("%8lu %s\n", shared->errors[error], strerrorname_np(error) ?: "?");
	return fflush(stdout) || shared->failures;
}

/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Popcorn: further kernels on processors and memory of this machine.
 *
 * They are made and steered in configfs, see docs/uapi.md; what is no line of text is read through
 * /dev/popcorn_boot. An open file of it is nothing until POPCORN_BOOT_IOC_ATTACH has bound it to a kernel.
 * Structures grow as those of popcorn.h do, with the same errors.
 */
#ifndef _UAPI_LINUX_POPCORN_BOOT_H
#define _UAPI_LINUX_POPCORN_BOOT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* popcorn_boot_attach.name: room for a name, with the zero byte behind it */
#define POPCORN_BOOT_NAME_SIZE 64

/* popcorn_boot_attach.what */

/*
 * Its console log: read() gives all that is there from position 0 on, then end of file; reading again at
 * the position reached gives what was added since. Positions go on over a new start. Text that was
 * overwritten meanwhile is skipped. EIO: the kernel has destroyed its log.
 */
#define POPCORN_BOOT_LOG 1

/*
 * Its memory as an ELF core, see docs/crash.md: pread() at any offset. While it runs, what is read is not
 * of one moment. ESTALE: it was started again since the file was bound.
 */
#define POPCORN_BOOT_CORE 2

/*
 * Its terminal, for one file at a time: read() gives what it prints, and is 0 when it has ended; write()
 * types; O_NONBLOCK is heeded. TIOCGWINSZ and TIOCSWINSZ get and set the size of the window, and TIOCMGET
 * has TIOCM_CAR when the kernel has taken its end. EIO: it does not run. ESTALE: it has other memory now.
 */
#define POPCORN_BOOT_TERMINAL 3

/**
 * struct popcorn_boot_attach - POPCORN_BOOT_IOC_ATTACH: bind an open file to a kernel
 * @size: sizeof(struct popcorn_boot_attach)
 * @what: POPCORN_BOOT_LOG, POPCORN_BOOT_CORE or POPCORN_BOOT_TERMINAL
 * @name: name of the kernel, as its directory in configfs, and a zero byte
 *
 * EPERM  no CAP_SYS_BOOT      ENOENT no kernel of that name
 * EINVAL @what, or a name without an end      EBUSY the file is bound already, or the terminal to another
 * ESRCH  POPCORN_BOOT_CORE, and it was never started      ENXIO it has no memory      ENOMEM
 *
 * A file that is bound does not keep the kernel: when that is gone, what is read is ENODEV, and ENXIO
 * while it has no memory.
 */
struct popcorn_boot_attach {
	__u32 size;
	__u32 what;
	char name[POPCORN_BOOT_NAME_SIZE];
};

#define POPCORN_BOOT_IOC_MAGIC	'P'
#define POPCORN_BOOT_IOC_ATTACH _IOW(POPCORN_BOOT_IOC_MAGIC, 0xa1, struct popcorn_boot_attach)

#endif /* _UAPI_LINUX_POPCORN_BOOT_H */

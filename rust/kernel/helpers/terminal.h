/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/kernel/boot/terminal.rs needs from C: a terminal of this kernel, by its hvc driver, and the
 * numbers of the calls that concern a terminal's window.
 */
#ifndef PCN_HELPERS_TERMINAL_H
#define PCN_HELPERS_TERMINAL_H

#include <linux/termios.h>
#include <linux/types.h>

enum pcn_terminal_call {
	PCN_GET_WINDOW_SIZE = TIOCGWINSZ,
	PCN_SET_WINDOW_SIZE = TIOCSWINSZ,
	PCN_GET_MODEM_LINES = TIOCMGET,
};

enum pcn_modem_line {
	PCN_CARRIER = TIOCM_CAR,
};

/* What the terminal is connected to. Each may be called in any context, also in several at once. */
struct pcn_terminal_operations {
	/* Copies what was typed, at most @size bytes; how many, or 0. */
	size_t (*read)(void *data, u8 *to, size_t size);
	/* Takes what is printed; how many bytes, or 0 if there is no room now. */
	size_t (*write)(void *data, const u8 *from, size_t size);
};

/*
 * Makes the terminal: the N of /dev/hvcN. There is one, and it stays for good, since a terminal that
 * somebody has open cannot be taken away; so must @operations and @data. -EBUSY there is one already,
 * -EOPNOTSUPP no hvc driver in this kernel, -ENOMEM. Sleeps.
 */
int pcn_terminal_register(const struct pcn_terminal_operations *operations, void *data);
/* There is something to read, if there is a terminal. Any context but NMI. */
void pcn_terminal_kick(void);
/* The window has this size now; false if there is no terminal yet. Any context but NMI. */
bool pcn_terminal_resize(u16 rows, u16 columns, u16 width, u16 height);

#endif /* PCN_HELPERS_TERMINAL_H */

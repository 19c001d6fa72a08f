/* SPDX-License-Identifier: GPL-2.0 */
/* What this kernel has logged; for tests. */
#ifndef PCN_LOG_H
#define PCN_LOG_H

/*
 * How many lines of the log hold @text, behind the latest that holds @mark: all of it if none does. Looks at the
 * first 256 bytes of a line. May not be called from NMI.
 */
unsigned int pcn_log_lines_since(const char *mark, const char *text);

#endif /* PCN_LOG_H */

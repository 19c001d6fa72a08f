// SPDX-License-Identifier: GPL-2.0
/* See log.h. */
#include <linux/export.h>
#include <linux/kmsg_dump.h>
#include <linux/string.h>

#include "log.h"

unsigned int pcn_log_lines_since(const char *mark, const char *text)
{
	struct kmsg_dump_iter iter;
	unsigned int count = 0;
	char line[256];
	size_t length;

	kmsg_dump_rewind(&iter);
	while (kmsg_dump_get_line(&iter, false, line, sizeof(line), &length)) {
		if (strnstr(line, mark, length))
			count = 0;
		else if (strnstr(line, text, length))
			count++;
	}
	return count;
}
EXPORT_SYMBOL_GPL(pcn_log_lines_since);

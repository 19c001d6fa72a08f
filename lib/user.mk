# SPDX-License-Identifier: GPL-2.0
# What the C programs of the tree have in common: where results go, how they are compiled.
# Included by lib/, examples/ and selftests/; TOP is set there.

OUT ?= $(TOP)/build/user
override OUT := $(abspath $(OUT))
CC ?= cc
CFLAGS ?= -O2 -g

user_cflags := -ffile-prefix-map=$(TOP)/= -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-missing-field-initializers -pthread -I$(TOP)/include/uapi -I$(TOP)/lib
libpopcorn := $(OUT)/libpopcorn.a
headers := $(TOP)/include/uapi/linux/popcorn.h $(TOP)/include/uapi/linux/popcorn_boot.h \
	$(TOP)/include/uapi/linux/popcorn_bench.h $(TOP)/lib/popcorn.h

.DELETE_ON_ERROR:

# SPDX-License-Identifier: GPL-2.0
# The commands of the project. Each is a script that also runs on its own; all build what they need first.

CONFIG ?= default

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo
	@echo '  CONFIG=default|debug|kasan  which kernel, for kernel and modules (config/)'
	@echo '  POPCORN_CACHE=DIR           where the Debian root and kernel builds are kept (~/.cache/popcorn)'
	@echo '  JOBS=N                      processes of a build at once (all processors)'

setup: ## install what is needed: mmdebstrap here, all else in a Debian 13 root in the cache
	@scripts/setup

kernel: ## build the kernel: linux-source-6.12 + patches/6.12 + config/
	@scripts/build-kernel --config $(CONFIG)

modules: ## build the modules for that kernel
	@scripts/build-modules --config $(CONFIG)

user: ## build the library, popcornctl, examples, self-tests
	@scripts/build-user

run: ## the demonstration: a program on two kernels at once
	@scripts/run

test: ## all tests; ends with "N passed, N failed"
	@scripts/test

fuzz: ## 10 million bad inputs to all that reads what peers wrote, others on top; scripts/fuzz --help for fewer, or more
	@scripts/fuzz

bench: ## measure, as JSON and as a table
	@scripts/bench

soak: ## long runs on a KASAN kernel, for hours; scripts/soak PART... for some of them
	@scripts/soak

fmt: ## format all Rust and C sources
	@scripts/lint --fix

lint: ## formatting, clippy, checkpatch, shellcheck
	@scripts/lint

doc: ## the documentation of the crates that build here
	@scripts/doc

clean: ## remove build/ (the cache outside the tree stays)
	rm -rf build

.PHONY: help setup kernel modules user run test fuzz bench soak fmt lint doc clean

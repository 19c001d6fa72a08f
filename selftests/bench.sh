#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The benchmark, in the virtual machine: the table on stdout and in RESULTS_DIR/bench.txt, JSON in
# RESULTS_DIR/bench.json, with the boot time of the second kernel beside the rest.
#
#   bench.sh [RESULTS_DIR [OPTION of bench...]]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
results=${1:-.}
[ $# -eq 0 ] || shift
mkdir -p "$results"

# null where the second kernel was not started by this one, or has not reported
boot=$(popcornctl --json kernel show node1 2>/dev/null | sed -n 's/^ *"boot_ns": \([0-9][0-9]*\),*$/\1/p') || boot=
"$here/bench" --json "$results/bench.json" ${boot:+--boot-ns "$boot"} "$@" >"$results/bench.txt"
cat "$results/bench.txt"

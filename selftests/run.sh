#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run the test programs that lie beside this script, in the virtual machine (or, with
# POPCORN_NODE=home, anywhere): TAP on stdout, the counts in a file.
#
#   run.sh [RESULTS_DIR [PROGRAM...]]
#   run.sh --list    names the programs that are run if none is named
#
# RESULTS_DIR (default: ./results) gets NAME.tap of each program and `summary`, whose last line is
# "N passed, N failed, N skipped". POPCORN_PROGRAM_TIMEOUT is the limit per program in seconds,
# or as many times that as POPCORN_SLOWNESS says.
# Exit status: 0 if nothing failed and at least one case passed.
set -u

all="migrate messages memory syscalls signals threads process fpu pingpong unaware storm kill"
[ "${1:-}" != --list ] || {
	echo "$all"
	exit
}
here=$(cd "$(dirname "$0")" && pwd)
results=${1:-results}
[ $# -eq 0 ] || shift
# shellcheck disable=SC2086 # names
[ $# -ne 0 ] || set -- $all
limit=$((${POPCORN_PROGRAM_TIMEOUT:-1500} * ${POPCORN_SLOWNESS:-1}))

mkdir -p "$results" || exit 2
: >"$results/summary" || exit 2
passed=0 failed=0 skipped=0

mark() {
	# a line in the kernel's log ties what it reports to the program that was running
	[ ! -w /dev/kmsg ] || echo "popcorn-selftest: $1" >/dev/kmsg 2>/dev/null
}

for name; do
	tap=$results/$name.tap
	echo "# $name"
	mark "$name starts"
	timeout -k 10 "$limit" "$here/$name" >"$tap" 2>&1
	status=$?
	mark "$name ends with $status"
	cat "$tap"

	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$tap" | head -n 1)
	skip=$(grep -c '^ok .* # SKIP' "$tap")
	ok=$(($(grep -c '^ok ' "$tap") - skip))
	bad=$(grep -c '^not ok ' "$tap")
	if grep -q '^1\.\.0 # SKIP' "$tap"; then
		skip=$((skip + 1))
	elif [ -z "$planned" ] || [ $((ok + bad + skip)) -ne "$planned" ] ||
		{ [ $status -ne 0 ] && [ "$bad" -eq 0 ]; }; then
		# died, hung, or said less than it had promised
		echo "# $name: ended with status $status after $((ok + bad + skip)) of ${planned:-?} cases"
		bad=$((bad + 1))
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	echo "$name: $ok passed, $bad failed, $skip skipped" >>"$results/summary"
	grep -h '^not ok ' "$tap" | sed "s/^/  $name: /" >>"$results/summary"
done

echo "$passed passed, $failed failed, $skipped skipped" | tee -a "$results/summary" | sed 's/^/# /'
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

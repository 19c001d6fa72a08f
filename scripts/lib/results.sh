# SPDX-License-Identifier: GPL-2.0
# Sourced after env.sh: counting what tests report. A part that says nothing counts as a failure.
# shellcheck shell=bash

passed=0
failed=0
skipped=0
failures=()

# count NAME PASSED FAILED [SKIPPED]
count() {
	passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + ${4:-0}))
	say "$1: $2 passed, $3 failed$([ "${4:-0}" = 0 ] || echo ", $4 skipped")"
}

# failure NAME REASON: one more failure, with its reason at the end of the run.
failure() {
	failed=$((failed + 1))
	failures+=("$1: $2")
	say "$1: $2"
}

# The last words: what failed, then the counts alone on a line.
report() {
	[ ${#failures[@]} = 0 ] || printf '  %s\n' "failures:" "${failures[@]/#/  }" >&2
	[ "$skipped" = 0 ] || echo "$skipped skipped"
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# cargo_tests NAME COMMAND...: run cargo's tests, shown as they come, and count them.
cargo_tests() {
	local name=$1 log=$LOGS/test-$1.log rc=0 p f i
	shift
	rm -f "$log.status"
	{ in_root "$@" 2>&1 || echo $? >"$log.status"; } | tee "$log" |
		{ grep --line-buffered -E '^(test result:|test .* FAILED|error|     Running|   Doc-tests)' || true; }
	[ ! -e "$log.status" ] || rc=$(cat "$log.status")
	read -r p f i < <(sed -n -E 's/^test result: [a-zA-Z]+\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/p' "$log" |
		awk '{ p += $1; f += $2; i += $3 } END { print p + 0, f + 0, i + 0 }')
	count "$name" "$p" "$f" "$i"
	if [ "$f" -gt 0 ]; then
		while read -r line; do failures+=("$name: $line"); done < <(grep -E '^test .*FAILED$' "$log")
	elif [ "$rc" != 0 ]; then
		failure "$name" "cargo ended with $rc; log: $log"
	elif [ "$p" = 0 ]; then
		failure "$name" "no test ran; log: $log"
	fi
}

# tap_count FILE: "passed failed skipped" of TAP or KTAP lines, of test cases only.
tap_count() {
	awk '/^ *not ok / { f++; next } /^ *ok .*# *SKIP/ { s++; next } /^ *ok / { p++ } END { print p + 0, f + 0, s + 0 }' "$1"
}

# tap_failures FILE: the cases that failed, each with the first lines of what it says of that.
tap_failures() {
	awk '/^not ok / { left = 16; print; next } /^#/ { if (left-- > 0) print; next } { left = 0 }' "$1"
}

# tap_part NAME FILE: counts what it reports, and whether that is all that it had planned. Sets tap_failed.
tap_part() {
	local p s planned
	read -r p tap_failed s < <(tap_count "$2")
	count "$1" "$p" "$tap_failed" "$s"
	while read -r line; do failures+=("$1: $line"); done < <(tap_failures "$2")
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$2" | head -n 1)
	if [ -z "$planned" ]; then
		failure "$1" "it did not come to its end; see $2"
	elif [ "$planned" -ne $((p + tap_failed + s)) ]; then
		failure "$1" "$((p + tap_failed + s)) tests instead of $planned; see $2"
	fi
}

# machine_failures NAME STATUS FAILED LOGS: what a run in the virtual machine says beyond its test cases.
machine_failures() {
	local trouble=$4/trouble
	if [ -s "$trouble" ]; then
		failure "$1" "$(wc -l <"$trouble") suspicious lines in the kernels' logs, in $4/; the first: $(head -n 1 "$trouble")"
	elif [ "$2" -ge 2 ] || { [ "$2" != 0 ] && [ "$3" = 0 ]; }; then
		failure "$1" "the virtual machine ended with $2; logs: $4/"
	fi
}

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demonstration: three programs on two kernels, each compared with itself at home.
#
#   demo.sh TEXT [NODE]      in the virtual machine, as root, with the project's tools on PATH
#
# (1) a pthread program whose threads work on both kernels at once; (2) an unmodified Debian binary run
# on the other kernel; (3) a program that knows nothing, moved from outside while it computes.
# Exit status: 0 if every result is what it is at home.
set -uo pipefail

text=${1:?"usage: demo.sh TEXT [NODE]"}
node=${2:-1}
threads=${DEMO_THREADS:-4}
work=$(mktemp -d /tmp/popcorn-demo-XXXXXX)
spinner=
trap '[ -z "$spinner" ] || kill "$spinner" 2>/dev/null; rm -rf "$work"' EXIT
failures=0

part() { printf '\n== %s\n' "$*"; }
good() { printf '  ok: %s\n' "$*"; }
bad() {
	printf '  FAILED: %s\n' "$*"
	failures=$((failures + 1))
}
# verdict TEXT COMMAND...: good or bad, as the command ends
verdict() {
	local text=$1
	shift
	if "$@"; then good "$text"; else bad "$text"; fi
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# A counter of a node, by its name in `popcornctl --json node list`.
node_counter() {
	popcornctl --json node list | awk -v id="$node" -v field="\"$1\":" '
		$1 == "\"id\":" { there = $2 + 0 == id }
		there && $1 == field { print $2 + 0; exit }'
}

size=$(stat -c %s "$text") || exit 1
part "the nodes"
popcornctl node list || exit 1

# In memory of this machine: no run waits for the file system of the host, and each finds it alike.
cp "$text" "$work/text" || exit 1

part "1: count the words of $((size >> 20)) MiB of kernel sources with $threads threads"
# The first run maps what is in memory already; still, let none be the first to touch it.
cat "$work/text" >/dev/null
echo "-- all threads at home"
wordcount --threads "$threads" --no-migrate --report "$work/text" >"$work/home" 2>"$work/home.report"
verdict "wordcount at home ends well" [ $? = 0 ]
cat "$work/home.report"
echo "-- every second thread on node $node"
wordcount --threads "$threads" --remote-node "$node" --report "$work/text" >"$work/away" 2>"$work/away.report"
verdict "wordcount on two kernels ends well" [ $? = 0 ]
cat "$work/away.report"
head -n 5 "$work/away" | sed 's/^/  /'
verdict "the results are equal ($(wc -l <"$work/home") lines)" cmp -s "$work/home" "$work/away"
verdict "$((threads / 2)) threads worked on node $node" \
	[ "$(awk -v n="$node" '$1 ~ /^[0-9]+$/ && $2 == n' "$work/away.report" | wc -l)" = $((threads / 2)) ]

part "2: run Debian's sha256sum on node $node"
head -c $((4 << 20)) "$work/text" >"$work/part"
files=("$work/part" /etc/passwd "$(command -v sha256sum)" "$(command -v bash)")
sent=$(node_counter sent)
start=$(now_ms)
sha256sum "${files[@]}" >"$work/home.sums"
middle=$(now_ms)
popcornctl run --node "$node" -- sha256sum "${files[@]}" >"$work/away.sums"
verdict "sha256sum on node $node ends well" [ $? = 0 ]
end=$(now_ms)
sed 's/^/  /' "$work/away.sums"
verdict "it prints what it prints at home" cmp -s "$work/home.sums" "$work/away.sums"
verdict "it was on node $node: $(($(node_counter sent) - sent)) messages went there" \
	[ "$(node_counter sent)" -gt "$sent" ]
echo "  $((middle - start)) ms at home, $((end - middle)) ms on node $node"
popcornctl run --node "$node" -- sha256sum /no/such/file >/dev/null 2>"$work/error"
verdict "its exit status comes back" [ $? = 1 ]
verdict "so does its message" grep -q '^sha256sum: /no/such/file' "$work/error"
verdict "it reads from a pipe" \
	[ "$(head -c 100000 "$work/text" | popcornctl run --node "$node" -- sha256sum)" = "$(head -c 100000 "$work/text" | sha256sum)" ]

part "3: move a program that knows nothing, while it computes"
# As much work as takes some seconds here, whatever this machine is.
segments=64
while :; do
	start=$(now_ms)
	spin $segments >"$work/spin.home"
	took=$(($(now_ms) - start))
	[ $took -lt 6000 ] || break
	segments=$((took < 500 ? segments * 8 : segments * 7500 / took + 1))
done
echo "  at home, in $took ms: $(cat "$work/spin.home")"
start=$(now_ms)
spin $segments >"$work/spin.away" &
spinner=$!
sleep 0.3
verdict "moved to node $node" popcornctl migrate --pid $spinner --node "$node" --wait
popcornctl ps --pid $spinner
verdict "it is listed on node $node" \
	[ "$(popcornctl ps --pid $spinner | awk -v tid=$spinner '$2 == tid { print $3, $4 }')" = "$node away" ]
sleep 0.7
verdict "and home again" popcornctl migrate --pid $spinner --node home --wait
popcornctl ps --pid $spinner
verdict "to node $node once more" popcornctl migrate --pid $spinner --node "$node" --wait
wait $spinner
verdict "it ends well" [ $? = 0 ]
spinner=
echo "  moved about, in $(($(now_ms) - start)) ms: $(cat "$work/spin.away")"
verdict "it computed the same" cmp -s "$work/spin.home" "$work/spin.away"

part "result"
if [ "$failures" = 0 ]; then
	echo "two kernels, one system: every result is what it is at home"
else
	echo "$failures checks FAILED"
fi
[ "$failures" = 0 ]

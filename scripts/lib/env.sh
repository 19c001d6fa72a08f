# SPDX-License-Identifier: GPL-2.0
# Sourced by every script: where things are, how to say things, how to run in the Debian 13 root.
# shellcheck shell=bash

set -euo pipefail

# The head of a script is its help, unless it has a "usage".
if [[ ${1:-} == --help || ${1:-} == -h ]] && ! declare -F usage >/dev/null; then
	sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"
	exit 0
fi

TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
POPCORN_CACHE=${POPCORN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/popcorn}
BUILD=$TREE/build
LOGS=$BUILD/logs
ROOT=$POPCORN_CACHE/debian13
JOBS=${JOBS:-$(nproc)}
export LC_ALL=C.UTF-8

mkdir -p "$POPCORN_CACHE" "$LOGS"

if [ -t 2 ]; then
	bold=$'\033[1m' red=$'\033[31m' plain=$'\033[0m'
else
	bold='' red='' plain=''
fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2; }

# die STEP LOG HINT: which step failed, where its log is, what to do next.
# The first lines that look like errors come before the last lines: in a parallel build the cause
# is far above the end.
die() {
	printf '\n%sfailed:%s %s\n' "$red" "$plain" "$1" >&2
	if [ -n "${2:-}" ]; then
		printf '  log:  %s\n' "$2" >&2
		if [ -s "$2" ]; then
			grep -aE '(^|[^_[:alnum:]])(error|ERROR|fatal|FAILED)([]:[ !]|$)' "$2" | head -n 8 | cut -c -300 | sed 's/^/  | /' >&2 || true
			echo '  | ...' >&2
			tail -n 12 "$2" | cut -c -300 | sed 's/^/  | /' >&2
		fi
	fi
	[ -z "${3:-}" ] || printf '  next: %s\n' "$3" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "this needs root (it makes a root file system and runs virtual machines)" "" "sudo $0"
}

# What the last line of a build log says, short enough for a terminal.
last_line() { tail -n 1 "$1" 2>/dev/null | tr -d '\r\t' | sed "s|$POPCORN_CACHE/||g; s|$TREE/||g" | cut -c -60; }

# step NAME LOG COMMAND...: run a command quietly. On a terminal a clock, the number of lines of its
# log and the last of them run along; elsewhere they are printed every 30 s. What takes less than 2 s is
# not worth a line. Ends the command when it is interrupted itself.
step() {
	local name=$1 log=$2 start=$SECONDS pid rc=0 beat=2 run=0
	shift 2
	mkdir -p "$(dirname "$log")"
	set -m # a process group of its own, so that all of it can be ended
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	# shellcheck disable=SC2064
	trap "kill -TERM -- -$pid 2>/dev/null; exit 130" INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		run=$((SECONDS - start))
		if [ $run -lt 2 ]; then
			:
		elif [ -t 2 ]; then
			printf '\r%s==>%s %s ... %d s, %d lines: %s\033[K' "$bold" "$plain" "$name" $run \
				"$(wc -l <"$log")" "$(last_line "$log")" >&2
			sleep 0.8
		elif [ $beat = 2 ]; then
			say "$name ..."
			beat=30
		elif [ $run -ge $beat ]; then
			say "$name: $run s, $(wc -l <"$log") lines: $(last_line "$log")"
			beat=$((beat + 30))
		fi
		sleep 0.1
	done
	wait "$pid" || rc=$?
	trap - INT TERM
	[ ! -t 2 ] || printf '\r\033[K' >&2
	[ $rc != 0 ] || [ $((SECONDS - start)) -lt 2 ] || say "$name: done in $((SECONDS - start)) s"
	return $rc
}

# in_root COMMAND...: run in the Debian 13 root, with the tree and the cache at their own paths.
# A mount namespace of its own holds the mounts, so nothing is left behind, whatever happens.
# `in_root_exec` does the same in place of the calling shell.
in_root_exec() {
	export POPCORN_ROOT=$ROOT POPCORN_TREE=$TREE POPCORN_CACHE POPCORN_CWD=${IN_ROOT_CWD:-$TREE}
	exec unshare --mount --propagation private -- "$TREE/scripts/lib/enter-root" "$@"
}
in_root() { (in_root_exec "$@"); }

# SPDX-License-Identifier: GPL-2.0
# Sourced after env.sh: where a kernel of configuration $config lives, and what its build depends on.
# shellcheck shell=bash disable=SC2034 # what it sets, others use

PATCHES=$TREE/patches/6.12

# Version of a package in the Debian 13 root. dpkg-query reads its database from outside.
root_version() {
	# shellcheck disable=SC2016 # dpkg's own variable
	dpkg-query --admindir="$ROOT/var/lib/dpkg" -W -f '${Version}' "$1" 2>/dev/null ||
		die "the Debian 13 root has no package $1" "" "run scripts/setup; if that does not help, remove $ROOT first"
}

series() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$PATCHES/series" 2>/dev/null || true; }

patch_files() { series | sed "s|^|$PATCHES/|"; }

# What the source depends on besides the version: all patches, in their order.
series_hash() {
	local files
	mapfile -t files < <(patch_files)
	for f in "${files[@]}"; do
		[ -r "$f" ] || die "reading the patch series" "" "$PATCHES/series names $f, which is not there"
	done
	{ series; [ ${#files[@]} = 0 ] || cat "${files[@]}"; } | sha256sum | cut -c -16
}

# What the configuration is made of, on top of tinyconfig.
fragments() {
	grep -qx '# without base.config' "$TREE/config/$config.config" || echo "$TREE/config/base.config"
	echo "$TREE/config/$config.config"
}

set_config() {
	config=$1
	{ [ "$config" != base ] && [ -r "$TREE/config/$config.config" ]; } ||
		die "there is no configuration '$config'" "" \
			"one of: $(cd "$TREE/config" && for f in *.config; do [ "$f" = base.config ] || printf '%s ' "${f%.config}"; done)"
}

# Sets KERNEL_VERSION, KDIR (all of that version), KSRC, KOUT (O= directory), KEY (what the build in
# KOUT must be of) and KBUILD_OUT (what the tree gets of it).
kernel_paths() {
	KERNEL_VERSION=$(root_version linux-source-6.12)
	KDIR=$POPCORN_CACHE/kernel/$KERNEL_VERSION
	KSRC=$KDIR/linux-source-6.12
	KOUT=$KDIR/out-$config
	KBUILD_OUT=$BUILD/$config
	local tools t
	tools=$(for t in rustc bindgen clang-19 lld-19; do root_version $t; done)
	# shellcheck disable=SC2046 # file names
	KEY=$( (echo "$KERNEL_VERSION $tools"; series_hash; cat $(fragments)) | sha256sum | cut -c -32)
}

kmake() { in_root make -C "$KOUT" LLVM=-19 CC="ccache clang-19" -j"$JOBS" "$@"; }

# SPDX-License-Identifier: GPL-2.0
# Sourced by scripts/test: which tests make no sense on several machines, and why. All others run there, too.
# shellcheck shell=bash

# Programs in selftests/. What selftests/run.sh runs by itself is about threads, memory, signals and calls of one
# process on two nodes, and means the same wherever the second node is: so none of that is here.
declare -A not_on_machines=(
	[bench]="figures, no test; make bench runs it"
	[bench_boot]="what a kernel costs that is started on the same machine"
	[bench_messages]="figures, no test; make bench runs it"
	[first]="the first program of such a kernel"
	[fuzz]="half of its calls are those of /dev/popcorn_boot, and it wants kernels made meanwhile, on the same machine"
	[harness]="what the tests have in common"
	[load]="no test by itself: what chaos is kept busy with"
	[measured]="wants popcorn_bench on both sides: guest/measuring runs it, there, too"
	[pin]="keeps memory of a kernel that is to give it back to the primary of its machine"
	[progress]="no test by itself: guest/suspended runs it"
	[returner]="no test by itself: guest/parting runs it"
	[seize]="hangs a kernel on the same machine; guest/cluster freezes the whole machine"
	[stray]="a lent device that goes where it must not: only on one machine is there anything of another kernel's to reach"
	[try_kexec]="what a secondary kernel is refused; machines of a cluster have primary kernels"
	[victim]="no test by itself: guest/cluster runs it"
)

# Parts of scripts/test. Those of machines; the first four have their counterparts in machines.
parts_on_machines=(selftests statistics parting measuring pair starved cluster suspended machines faults churn authentic hostile mixed)
declare -A parts_not_on_machines=(
	[cargo]="without a kernel"
	[vm]="the harness itself, with its own cases for a cluster"
	[kunit]="two nodes in one kernel"
	[lifecycle]="a kernel that popcorn_boot starts and kills; cluster kills machines, and machines unloads modules that had some"
	[kernels]="popcorn_boot: kernels on one machine"
	[console]="popcorn_boot: the terminal that a secondary shares with its primary"
	[stock]="popcorn_boot: kernels without our modules on one machine"
	[deaths]="the ends that popcorn_boot sees; cluster does it with machines, and the same victims"
	[primary]="popcorn_boot: what secondaries see in memory of the end of their primary"
	[memory]="popcorn_boot: memory that changes hands"
	[reservation]="popcorn_boot: memory reserved at boot"
	[core]="popcorn_boot: the memory of another kernel, read by the primary"
	[fuzz]="popcorn_boot: its files and calls"
	[chaos]="popcorn_boot: kernels that come and go on one machine"
	[devices]="popcorn_boot: devices that change hands"
	[iommu]="popcorn_boot: devices that change hands"
	[x2apic]="popcorn_boot: processors that change hands"
	[trace]="popcorn_boot: what a secondary touches of the machine"
	[network]="pcn0 is between the kernels of one machine: nodes of other machines are not on it (docs/network.md)"
	[light]="popcorn_boot: a secondary without drivers, so without a network"
)

# machine_programs: those of selftests/run.sh that make sense there. Fails if somebody forgot to say so of one.
machine_programs() {
	local source name all
	all=" $("$TREE/selftests/run.sh" --list) "
	for source in "$TREE"/selftests/*.c; do
		name=$(basename "$source" .c)
		if [ -n "${not_on_machines[$name]:-}" ]; then
			all=${all/ $name / }
		elif [[ $all != *" $name "* ]]; then
			echo "selftests/$name.c neither runs on machines nor says why (scripts/lib/machines.sh)" >&2
			return 1
		fi
	done
	echo $all
}

# parts_are_known PART...: each runs on machines, or says why not; nothing is said of a part that there is not
parts_are_known() {
	local part all=0
	for part; do
		[ -n "${parts_not_on_machines[$part]:-}" ] || [[ " ${parts_on_machines[*]} " = *" $part "* ]] || {
			echo "the part $part neither runs on machines nor says why (scripts/lib/machines.sh)" >&2
			all=1
		}
	done
	for part in "${!parts_not_on_machines[@]}" "${parts_on_machines[@]}"; do
		[[ " $* " = *" $part "* ]] || {
			echo "there is no part $part of which scripts/lib/machines.sh speaks" >&2
			all=1
		}
	done
	return $all
}

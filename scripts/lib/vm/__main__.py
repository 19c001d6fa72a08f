# SPDX-License-Identifier: GPL-2.0
"""From what was asked for to the exit status."""

import os
import secrets
import sys

from vm import judge
from vm import options
from vm import plan
from vm.acceleration import kvm_works
from vm.cluster import Cluster
from vm.hardware import WrongHardware
from vm.initramfs import initramfs
from vm.machine import Machine
from vm.machine import SOUND_WITHIN
from vm.options import Impossible
from vm.run import END_WITHIN
from vm.run import Run
from vm.say import complain
from vm.verdict import verdict
from vm.verdict import write_times


def prepare(a):
    """How they are accelerated, and the plans of all machines, whose initramfs are there."""
    secret = secrets.token_hex(16)
    images = [f"{a.logs}/initramfs{plan.suffix(number)}" for number in range(a.machines)]
    for number, image in enumerate(images):
        with open(image, "wb") as f:
            # It has the secret.
            os.fchmod(f.fileno(), 0o600)
            f.write(initramfs(a.tree, plan.settings(a, number, secret), a.argv))
    accel = a.accel
    if accel == "auto":
        accel = "kvm" if kvm_works(a.kernel, images[0], a.cache) else "tcg"
    return accel, [
        plan.Plan(number, plan.nodes(a, number), plan.address(a, number), plan.arguments(a, number, accel, image))
        for number, image in enumerate(images)
    ]


def clean_up(folder):
    """What no longer serves."""
    for file in os.listdir(folder):
        if file.startswith(("initramfs", "disk")):
            os.unlink(f"{folder}/{file}")


def main():
    try:
        a = options.parse()
        accel, plans = prepare(a)
    except Impossible as why:
        complain(why)
        return why.status
    except WrongHardware as why:
        complain(why)
        return 2
    cluster = Cluster(a.machines) if a.cluster else None
    machines = [Machine(planned, a.logs, cluster) for planned in plans]
    run = Run(machines, a.logs, a.timeout, SOUND_WITHIN * a.slowness if accel == "tcg" else a.timeout,
              END_WITHIN * a.slowness, cluster)
    if cluster:
        cluster.serve(run)
    run.run()
    clean_up(a.logs)
    write_times(f"{a.logs}/times", accel, run)
    names, expected = [], {}
    for machine in machines:
        names += machine.log_names()
        expected |= machine.expectations()
    trouble = judge.scan(a.logs, names, expected)
    judge.report(trouble, a.logs, a.tree)
    return verdict(a, run, trouble)


sys.exit(main())

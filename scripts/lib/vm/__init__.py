# SPDX-License-Identifier: GPL-2.0
"""Inner half of scripts/popcorn-vm: runs in the Debian 13 root, starts QEMU, and reads what comes.

What the guest has to say arrives on ports of a virtio serial device, one per stream, so no verdict is
ever read from a console:
  popcorn.stdout, popcorn.stderr   bytes of COMMAND, passed on as they come
  popcorn.status                   lines: "sound" when the machine's clocks were seen to run, "ready", then
                                   "exit N"; or "failed TEXT" if the start failed. Before "ready" a machine of a
                                   cluster says "up": the others can join it. Only the first says "exit N"
  popcorn.nodeK                    log of secondary kernel K
  popcorn.others                   logs of the kernels that COMMAND makes itself, by guest/keep
  popcorn.control                  cluster, first machine: a question a line, and the answer (control.py)
The primary's log is the serial port, written by QEMU itself: it survives whatever happens inside.

  options.py        what was asked for
  hardware.py       QEMU's arguments for it; acceleration.py: KVM or not
  plan.py           all that one machine is started with
  initramfs.py      what it boots
  ports.py          what it says
  machine.py        one QEMU, alive; monitor.py: its own monitor
  run.py            all of them, from the first start to the last end; __main__.py: what comes before and after
  cluster.py        what several have in common:
    hub.py            the network, and faults.py: what goes wrong there
    exchange.py       a folder
    control.py        what the first of them may ask for
  verdict.py        the exit status, and why
  judge.py          whether the logs are those of healthy kernels
  tests/            all of this without QEMU
"""

// SPDX-License-Identifier: GPL-2.0
//! Where system calls run: what would go wrong at home must not be sent there.

use popcorn_core::syscall::is_exec;
use popcorn_core::syscall::place;
use popcorn_core::syscall::wants_restart;
use popcorn_core::syscall::Place;

#[test]
fn what_needs_registers_or_ends_the_thread_returns() {
    // rt_sigreturn clone fork vfork execve exit arch_prctl exit_group execveat rseq clone3
    for number in [15, 56, 57, 58, 59, 60, 158, 231, 322, 334, 435] {
        assert_eq!(place(number), Place::Return, "{number}");
    }
}

#[test]
fn ordinary_calls_run_at_home() {
    for number in [
        0,
        1,
        2,
        3,
        9,
        11,
        12,
        39,
        186,
        202,
        219,
        232,
        257,
        500,
        u64::MAX,
    ] {
        assert_eq!(place(number), Place::Home, "{number}");
    }
    assert_eq!(place(24), Place::Remote);
}

#[test]
fn exec_and_restart() {
    assert!(is_exec(59) && is_exec(322) && !is_exec(57));
    for result in [-512, -513, -514, -516] {
        assert!(wants_restart(result));
    }
    for result in [0, -4, -11, -515, 512] {
        assert!(!wants_restart(result));
    }
}

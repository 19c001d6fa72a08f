// SPDX-License-Identifier: GPL-2.0
//! Each target, for some thousand inputs. They are the same each time.

use popcorn_fuzz::engine;
use popcorn_fuzz::engine::Limit;
use popcorn_fuzz::hex;
use popcorn_fuzz::targets::TARGETS;

const INPUTS: u64 = 10_000;

fn short(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let outcome = engine::fuzz(target, Limit::Inputs(INPUTS), engine::SEED, &mut |_| {});
    if let Some(finding) = outcome.finding {
        let input = hex::encode(&finding.input);
        panic!(
            "{}\ninput {}, to be repeated with scripts/fuzz --input FILE {name}:\n{input}",
            finding.message, finding.number
        );
    }
    assert_eq!(outcome.progress.inputs, INPUTS);
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            short(stringify!($name));
        })*

        #[test]
        fn none_is_left_out() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

tests! {
    wire_header
    messages
    views
    stream_frames
    stream_session
    membership_view
    membership
    parting
    net_frame
    statistics
    ring
    byte_ring
    window
    directory
    console_log
    panic_watch
    printk_log
    vmcoreinfo
    elf_core
    boot_status
    lent_cpus
    lent_memory
    terminal
    bootparams
    boot_command_line
    acpi
    pci
    resource_list
    user_words
    address
    interval
}

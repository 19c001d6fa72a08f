// SPDX-License-Identifier: GPL-2.0
//! What a user adds to a kernel's command line: refused, or all that keeps the kernels apart stands behind it as
//! parameters of their own, whatever quotes there are, and nothing that is refused is in it.
//!
//! The line is taken apart as Linux does it (`next_arg()` in `lib/cmdline.c`).

use super::Target;
use crate::source::Source;

use popcorn_core::boot_command_line::build;
use popcorn_core::boot_command_line::LineError;
use popcorn_core::boot_command_line::Parameters;
use popcorn_core::boot_command_line::REFUSED;
use popcorn_core::boot_command_line::REFUSED_WITH_DEVICES;
use popcorn_core::bootparams::Extent;
use popcorn_core::machine_id::MachineId;
use popcorn_core::partition::Partition;

pub(super) const TARGET: Target = Target {
    name: "boot_command_line",
    about: "what a user adds to a kernel's command line",
    most: 300,
    seeds,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    let users: [&[u8]; 12] = [
        b"",
        b"console=hvc0 loglevel=7",
        b"foo=\"a b\" \"quoted word\" \"x=y z\" bar",
        b"oops=continue",
        b"acpi=off",
        b"\"acpi=off\"",
        b"acpi=\"off\"",
        b"acpi=on memmap=1G$2G",
        b"x=crashkernel=64M",
        b"init=/bin/sh -- single",
        b"pci=nomsi reserve=0xcf8,8",
        b"acpi-rsdp=1 \"\" = =acpi=off no\"apic",
    ];
    let mut seeds = Vec::new();
    for user in users {
        seeds.push([&[1, 255, 7, 3][..], user].concat());
        seeds.push([&[0, 255, 7, 3][..], user].concat());
    }
    seeds.push([&[0, 100, 1, 1][..], b"short"].concat());
    seeds
}

/// The parameters of a line, as the kernel sees them.
fn parameters(line: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    let mut rest = line;
    loop {
        while rest.first() == Some(&b' ') {
            rest = &rest[1..];
        }
        if rest.is_empty() {
            return all;
        }
        let mut in_quote = false;
        let mut quoted = false;
        if rest[0] == b'"' {
            rest = &rest[1..];
            in_quote = true;
            quoted = true;
        }
        let mut equals = 0;
        let mut end = 0;
        while end < rest.len() {
            if rest[end] == b' ' && !in_quote {
                break;
            }
            if equals == 0 && rest[end] == b'=' {
                equals = end;
            }
            if rest[end] == b'"' {
                in_quote = !in_quote;
            }
            end += 1;
        }
        let mut word = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or(&[]);
        let mut value = None;
        if equals == 0 {
            if quoted && word.last() == Some(&b'"') {
                word = &word[..word.len() - 1];
            }
        } else {
            let mut text = &word[equals + 1..];
            word = &word[..equals];
            let inner = text.first() == Some(&b'"');
            if inner {
                text = &text[1..];
            }
            if (inner || quoted) && text.last() == Some(&b'"') {
                text = &text[..text.len() - 1];
            }
            value = Some(text.to_vec());
        }
        all.push((word.to_vec(), value));
    }
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let devices = source.flag();
    // Mostly enough for all.
    let max = usize::from(source.byte()) * 9;
    let start = u64::from(source.byte() & 63) * (64 << 20) + (64 << 20);
    let cpus = usize::from(source.byte());
    let user = source.rest();
    let memory = [Extent::new(start, 64 << 20)];
    let partition = Partition::new(&memory, Extent::new(64 << 10, 64 << 10)).unwrap();
    let parameters_ = Parameters {
        partition: &partition,
        tsc_khz: 2_000_000,
        name: b"node1",
        machine_id: MachineId::random(1),
        cpus,
        node: 1,
        peer: 0,
        devices,
        user,
    };
    let mut out = [0xa5; 2048];
    let is_clean = user.iter().all(|byte| (b' '..=b'~').contains(byte))
        && user.iter().filter(|&&byte| byte == b'"').count() % 2 == 0;
    let length = match build(&mut out, max, &parameters_) {
        Ok(length) => length,
        Err(error) => {
            match error {
                LineError::Character => assert!(!is_clean),
                LineError::TooLong => assert!(max < 1500 + user.len() || user.len() > 400),
                LineError::Refused(_) => assert!(is_clean),
            }
            return;
        }
    };
    assert!(is_clean && length <= max && length < out.len());
    assert_eq!(out[length], 0);
    assert!(out[length + 1..].iter().all(|&byte| byte == 0xa5));
    let line = &out[..length];
    assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
    let all = parameters(line);
    // Ours come behind the user's, as they are: nothing of the user's swallows them.
    let ours: Vec<&[u8]> = vec![
        b"no_ipi_broadcast=1",
        b"apic_extnmi=none",
        b"nokaslr",
        b"panic=0",
        b"tsc=reliable",
        b"sysctl.kernel.kexec_load_disabled=1",
        b"popcorn_msg.node=1",
        b"popcorn_msg.peer=0",
        if devices { b"pci=noearly" } else { b"pci=off" },
    ];
    for each in ours {
        let mut parts = each.splitn(2, |&byte| byte == b'=');
        let name = parts.next().unwrap();
        let value = parts.next().map(<[u8]>::to_vec);
        let last = all.iter().rfind(|(other, _)| other == name);
        assert_eq!(
            last.map(|(_, value)| value),
            Some(&value),
            "{}",
            each.escape_ascii()
        );
    }
    let ends = all
        .iter()
        .position(|(name, value)| name == b"--" && value.is_none());
    assert_eq!(ends, None);
    let refused = REFUSED.iter().filter(|_| true);
    let more = REFUSED_WITH_DEVICES.iter().filter(|_| devices);
    for refused in refused.chain(more) {
        let mut parts = refused.splitn(2, '=');
        let refused_name = parts.next().unwrap().as_bytes();
        let refused_value = parts.next();
        let count = all.iter().filter(|(name, value)| {
            let name: Vec<u8> = name
                .iter()
                .map(|&b| if b == b'-' { b'_' } else { b })
                .collect();
            name == refused_name
                && refused_value.is_none_or(|start| {
                    let value = value.as_deref().unwrap_or(&[]);
                    value.starts_with(start.as_bytes())
                })
        });
        // Ours alone, of what is refused together with devices.
        let ours = usize::from(devices && REFUSED_WITH_DEVICES.contains(refused));
        assert_eq!(count.count(), ours, "{refused}");
    }
    assert!(!line.windows(12).any(|part| part == b"crashkernel="));
}

// SPDX-License-Identifier: GPL-2.0
//! The secondary's command line: what must be in it is, and wins; what must not is refused.

use popcorn_core::boot_command_line;
use popcorn_core::boot_command_line::LineError;
use popcorn_core::boot_command_line::Parameters;
use popcorn_core::boot_command_line::REFUSED;
use popcorn_core::boot_command_line::REFUSED_WITH_DEVICES;
use popcorn_core::bootparams::Extent;
use popcorn_core::machine_id::MachineId;
use popcorn_core::partition::Partition;
use proptest::prelude::*;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn build_full(user: &[u8], devices: bool, room: usize, max: usize) -> Result<String, LineError> {
    let partition = Partition::new(
        &[Extent::new(0x2000_0000, 0x1000_0000)],
        Extent::new(0x7_0000, 0x1_0000),
    )
    .unwrap();
    let mut out = vec![0xff; room];
    let parameters = Parameters {
        partition: &partition,
        tsc_khz: 2_100_000,
        name: b"node1",
        machine_id: MachineId::parse(ID.as_bytes()).unwrap(),
        cpus: 3,
        node: 1,
        peer: 0,
        devices,
        user,
    };
    let length = boot_command_line::build(&mut out, max, &parameters)?;
    assert_eq!(out[length], 0, "closed");
    assert!(length <= max);
    Ok(String::from_utf8(out[..length].to_vec()).unwrap())
}

fn build_within(user: &[u8], room: usize, max: usize) -> Result<String, LineError> {
    build_full(user, false, room, max)
}

fn build_with_devices(user: &[u8]) -> Result<String, LineError> {
    build_full(user, true, 4096, 2047)
}

fn build(user: &[u8]) -> Result<String, LineError> {
    build_within(user, 4096, 2047)
}

/// The kernel's way: the last value of a parameter counts.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(' ')
        .filter_map(|w| w.split_once('='))
        .filter(|(n, _)| *n == name)
        .map(|(_, v)| v)
        .last()
}

#[test]
fn an_oops_is_the_end_unless_the_user_says_otherwise() {
    for user in ["", "quiet", "pause_on_oops=5 loops=1", "\"a oops=no\""] {
        assert_eq!(
            value(&build(user.as_bytes()).unwrap(), "oops"),
            Some("panic"),
            "{user}"
        );
    }
    for (user, says) in [
        ("oops=continue", "continue"),
        ("quiet oops=panic x", "panic"),
    ] {
        let line = build(user.as_bytes()).unwrap();
        assert_eq!(line.matches("oops=").count(), 1, "{line}");
        assert_eq!(value(&line, "oops"), Some(says));
    }
    let line = build(b"\"oops=it goes on\"").unwrap();
    assert!(!line.contains("oops=panic"), "{line}");
}

#[test]
fn the_line_keeps_the_kernels_apart() {
    let line = build(b"quiet sysctl.kernel.kexec_load_disabled=0 panic=5 pci=on no_ipi_broadcast=0 popcorn_msg.node=0").unwrap();
    for (name, expected) in [
        ("no_ipi_broadcast", "1"),
        ("pci", "off"),
        ("panic", "0"),
        ("tsc", "reliable"),
        ("tsc_early_khz", "2100000"),
        ("apic_extnmi", "none"),
        ("console", "null"),
        ("8250.nr_uarts", "0"),
        ("memhp_default_state", "online_movable"),
        ("popcorn_msg.node", "1"),
        ("popcorn_msg.peer", "0"),
        ("hostname", "node1"),
        ("systemd.machine_id", ID),
        ("sysctl.kernel.kexec_load_disabled", "1"),
        ("maxcpus", "3"),
        ("popcorn_msg.shm", "0x20400000"),
        ("popcorn_msg.shm_size", "0x400000"),
        ("ramoops.mem_address", "0x20200000"),
        ("ramoops.mem_size", "0x100000"),
        ("popcorn_boot.status", "0x20006000"),
        ("popcorn_boot.terminal", "0x20300000"),
    ] {
        assert_eq!(value(&line, name), Some(expected), "{name}");
    }
    for word in ["nokaslr", "no5lvl", "quiet"] {
        assert!(line.split(' ').any(|w| w == word), "{word}");
    }
}

#[test]
fn dangerous_parameters_are_refused() {
    for refused in REFUSED {
        let with_value = format!(
            "quiet {refused}{} x",
            if refused.contains('=') { "" } else { "=1" }
        );
        assert_eq!(
            build(with_value.as_bytes()),
            Err(LineError::Refused(refused)),
            "{with_value}"
        );
        let quoted = format!("\"{refused}\"");
        assert_eq!(
            build(quoted.as_bytes()),
            Err(LineError::Refused(refused)),
            "{quoted}"
        );
    }
    assert_eq!(build(b"acpi-rsdp=0"), Err(LineError::Refused("acpi_rsdp")));
    assert_eq!(build(b"init=/x -- y"), Err(LineError::Refused("--")));
    assert!(build(b"noapictimer x=\"a -- noapic\"").is_ok());
}

/// Each of these was let pass once.
#[test]
fn quotes_hide_nothing() {
    for (user, refused) in [
        ("acpi=\"off\"", "acpi=off"),
        ("\"acpi=\"off\"\"", "acpi=off"),
        ("quiet \"--\" x", "--"),
        ("x=\"a crashkernel=64M b\"", "crashkernel"),
        ("xcrashkernel=64M", "crashkernel"),
    ] {
        assert_eq!(
            build(user.as_bytes()),
            Err(LineError::Refused(refused)),
            "{user}"
        );
    }
    for user in [
        "acpi=\"strict\"",
        "x=\"--\"",
        "--x",
        "\"=noapic\"",
        "=acpi=off",
    ] {
        assert!(build(user.as_bytes()).is_ok(), "{user}");
    }
    // Not the parameter "oops": an oops is still the end.
    for user in ["oops\"\"=continue", "oops\"=\""] {
        let line = build(user.as_bytes()).unwrap();
        assert_eq!(value(&line, "oops"), Some("panic"), "{user}");
    }
}

#[test]
fn devices_are_reached_by_the_tables_alone() {
    let line = build_with_devices(b"quiet").unwrap();
    assert_eq!(value(&line, "pci"), Some("noearly"));
    assert_eq!(value(&line, "reserve"), Some("0xcf8,8"));
    let without = build(b"quiet pci=noearly reserve=0x60,5").unwrap();
    assert_eq!(value(&without, "pci"), Some("off"));
    // All else is the same.
    let rest = |line: &str| {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words.retain(|word| !word.starts_with("pci=") && !word.starts_with("reserve="));
        words
    };
    assert_eq!(rest(&line), rest(&without));
}

#[test]
fn buses_cannot_be_opened_by_the_user() {
    for refused in REFUSED_WITH_DEVICES {
        for user in [format!("{refused}=conf1"), format!("quiet \"{refused}=x\"")] {
            assert_eq!(
                build_with_devices(user.as_bytes()),
                Err(LineError::Refused(refused)),
                "{user}"
            );
        }
    }
    assert!(build_with_devices(b"pcie_aspm=off reserved=1").is_ok());
    assert_eq!(
        build_with_devices(b"acpi=off"),
        Err(LineError::Refused("acpi=off"))
    );
}

#[test]
fn odd_characters_are_refused() {
    for user in [&b"a\0b"[..], b"a\nb", b"\x80", b"x=\"y", b"\x1b[0m"] {
        assert_eq!(build(user), Err(LineError::Character), "{user:?}");
    }
}

#[test]
fn length_is_limited_by_kernel_and_room() {
    let line = build(b"").unwrap();
    assert_eq!(build_within(b"", 4096, line.len()), Ok(line.clone()));
    assert_eq!(
        build_within(b"", 4096, line.len() - 1),
        Err(LineError::TooLong)
    );
    assert_eq!(build_within(b"", line.len() + 1, 4096), Ok(line.clone()));
    assert_eq!(build_within(b"", line.len(), 4096), Err(LineError::TooLong));
    assert_eq!(build_within(b"", 4096, usize::MAX), Ok(line));
    assert_eq!(build(&[b'x'; 2000]), Err(LineError::TooLong));
}

proptest! {
    #[test]
    fn any_user_part_leaves_ours_whole(user in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(line) = build(&user) {
            let ours = build(b"").unwrap();
            // Name and id are what the user may change.
            let names = format!("hostname=node1 systemd.machine_id={ID} ");
            prop_assert!(line.ends_with(ours.strip_prefix(&names).unwrap()));
            prop_assert!(line.bytes().filter(|&b| b == b'"').count() % 2 == 0);
        }
    }
}

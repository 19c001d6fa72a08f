// SPDX-License-Identifier: GPL-2.0
//! What bad input is given to, one file each.
//!
//! A target does not only look for panics: it says what must hold for whatever comes, in words of its own, and
//! asserts it. It depends on nothing but its input, so that a finding can be seen again.

/// Something that reads what others wrote.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Longest input, in bytes.
    pub most: usize,
    /// Inputs that are good, or nearly so: others are made of them.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Panics if something does not hold that must.
    pub run: fn(&[u8]),
}

impl Target {
    /// Whether it reads what another kernel wrote, while that runs or after its end; if not, what firmware, a file
    /// or a user did.
    pub fn is_of_peers(&self) -> bool {
        OF_PEERS.contains(&self.name)
    }
}

/// The message types that target `messages` tries, each by its name and number.
pub fn message_types() -> Vec<(&'static str, u16)> {
    messages::types()
}

macro_rules! targets {
    (peers { $($peer:ident,)* } others { $($other:ident,)* }) => {
        $(mod $peer;)*
        $(mod $other;)*

        /// All of them.
        pub static TARGETS: &[Target] = &[$($peer::TARGET,)* $($other::TARGET,)*];

        static OF_PEERS: &[&str] = &[$(stringify!($peer),)*];
    };
}

targets! {
    peers {
        wire_header,
        messages,
        views,
        stream_frames,
        stream_session,
        membership_view,
        membership,
        parting,
        net_frame,
        statistics,
        ring,
        byte_ring,
        window,
        directory,
        console_log,
        panic_watch,
        printk_log,
        vmcoreinfo,
        elf_core,
        boot_status,
        lent_cpus,
        lent_memory,
        terminal,
    }
    others {
        bootparams,
        boot_command_line,
        acpi,
        pci,
        resource_list,
        user_words,
        address,
        interval,
    }
}

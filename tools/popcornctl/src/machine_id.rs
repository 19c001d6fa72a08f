// SPDX-License-Identifier: GPL-2.0
//! The id by which a kernel's programs know their machine, made of this machine's and the kernel's name: so a
//! kernel that is made anew under its old name has its old id, and nobody learns this machine's from it.

use hmac::Hmac;
use hmac::Mac;
use popcorn_core::machine_id::MachineId;
use sha2::Sha256;

const PATH: &str = "/etc/machine-id";
/// Keeps these ids apart from what others make of the machine's.
const PURPOSE: &[u8] = b"popcorn kernel\0";

/// This machine's id; `None` if it has none, as before its first boot.
pub(crate) fn of_this_machine() -> Option<MachineId> {
    let text = std::fs::read(PATH).ok()?;
    MachineId::parse(text.trim_ascii())
}

/// That of its kernel `name`.
pub(crate) fn of_kernel(machine: &MachineId, name: &str) -> MachineId {
    // HMAC takes a key of any length.
    let Ok(mut hash) = Hmac::<Sha256>::new_from_slice(machine.to_string().as_bytes()) else {
        return *machine;
    };
    hash.update(PURPOSE);
    hash.update(name.as_bytes());
    let digest = hash.finalize().into_bytes();
    let bits = digest.iter().take(16);
    MachineId::random(bits.fold(0, |id, &byte| (id << 8) | u128::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MachineId {
        MachineId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn it_depends_on_machine_and_name_alone() {
        let one = id("0123456789abcdef0123456789abcdef");
        let other = id("0123456789abcdef0123456789abcdee");
        // Never another one: kernels that are there know themselves by it. Made with another program.
        assert_eq!(
            of_kernel(&one, "node1"),
            id("dae581ce6cb94ed9a4ee94304b44160c")
        );
        assert_ne!(of_kernel(&one, "node1"), of_kernel(&one, "node2"));
        assert_ne!(of_kernel(&one, "node1"), of_kernel(&other, "node1"));
        assert_ne!(of_kernel(&one, "node1"), one);
    }
}

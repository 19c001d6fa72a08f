// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/config/popcorn_msg`: a directory for each node of another machine, called by its id, with a file
//! for each of its attributes.

use crate::configfs::Configfs;
use crate::failure::Failure;
use nix::errno::Errno;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// A file in the directory of a node; `docs/uapi.md` says what each holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Transport,
    Connect,
    Listen,
    From,
    Psk,
    Certificate,
    PrivateKey,
    PeerName,
    PeerCertificate,
    Join,
    Leave,
    Force,
    Members,
    State,
}

impl Attribute {
    /// Its file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Connect => "connect",
            Self::Listen => "listen",
            Self::From => "from",
            Self::Psk => "psk",
            Self::Certificate => "certificate",
            Self::PrivateKey => "private_key",
            Self::PeerName => "peer_name",
            Self::PeerCertificate => "peer_certificate",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Force => "force",
            Self::Members => "members",
            Self::State => "state",
        }
    }
}

/// What can be done with the nodes of other machines. Errors are the kernel's errno.
pub(crate) trait Peers {
    /// Makes one that has nothing yet.
    fn make(&self, node: u32) -> Result<(), Errno>;
    /// Forgets one, which is not joined.
    fn remove(&self, node: u32) -> Result<(), Errno>;
    /// An attribute's text, without the newline at its end.
    fn read(&self, node: u32, attribute: Attribute) -> Result<String, Errno>;
    /// Writes an attribute; `text` has no newline.
    fn write(&self, node: u32, attribute: Attribute, text: &str) -> Result<(), Errno>;
    /// The id of this node, if that can be seen.
    fn own_node(&self) -> Option<u32>;
}

/// The directory, as it is in the file system.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    configfs: Configfs,
    /// The module's parameter.
    own_node: PathBuf,
}

impl Directory {
    /// Looks whether it is there.
    pub(crate) fn open() -> Result<Self, Failure> {
        Ok(Self {
            configfs: Configfs::open("popcorn_msg")?,
            own_node: Path::new("/sys/module/popcorn_msg/parameters/node").into(),
        })
    }
}

impl Peers for Directory {
    fn make(&self, node: u32) -> Result<(), Errno> {
        self.configfs.make(&node.to_string())
    }

    fn remove(&self, node: u32) -> Result<(), Errno> {
        self.configfs.remove(&node.to_string())
    }

    fn read(&self, node: u32, attribute: Attribute) -> Result<String, Errno> {
        self.configfs.read(&node.to_string(), attribute.name())
    }

    fn write(&self, node: u32, attribute: Attribute, text: &str) -> Result<(), Errno> {
        self.configfs
            .write(&node.to_string(), attribute.name(), text)
    }

    fn own_node(&self) -> Option<u32> {
        fs::read_to_string(&self.own_node).ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::Folder;

    #[test]
    fn a_node_is_a_directory_called_by_its_id() {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("popcorn_msg")).unwrap();
        let peers = Directory {
            configfs: Configfs::at(folder.path(), "popcorn_msg").unwrap(),
            own_node: folder.path().join("node"),
        };
        peers.make(12).unwrap();
        let state = folder.path().join("popcorn_msg/12/state");
        fs::write(&state, "online\n").unwrap();
        assert_eq!(peers.read(12, Attribute::State).unwrap(), "online");
        fs::remove_file(state).unwrap();
        peers.remove(12).unwrap();
        assert_eq!(peers.read(12, Attribute::State), Err(Errno::ENOENT));

        assert_eq!(peers.own_node(), None);
        fs::write(folder.path().join("node"), "3\n").unwrap();
        assert_eq!(peers.own_node(), Some(3));
    }
}

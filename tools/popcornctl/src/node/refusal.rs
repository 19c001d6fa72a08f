// SPDX-License-Identifier: GPL-2.0
//! What it means when the kernel refuses something that concerns a node of another machine, and what to do then.

use super::directory::Attribute;
use crate::failure::Failure;
use crate::failure::Words;
use crate::refusal;
use crate::refusal::SEE_LOG;
use nix::errno::Errno;

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// To make its directory.
    Make,
    Set(Attribute),
    Join,
    Leave,
    LeaveByForce,
    /// To go on without it.
    Force,
    /// To remove its directory.
    Remove,
    Look,
}

impl Action {
    fn doing(self, node: u32) -> String {
        match self {
            Self::Make => format!("setting up node {node}"),
            Self::Set(attribute) => format!("setting `{}` of node {node}", attribute.name()),
            Self::Join => format!("joining node {node}"),
            Self::Leave => format!("leaving node {node}"),
            Self::LeaveByForce => format!("leaving node {node} by force"),
            Self::Force => format!("going on without node {node}"),
            Self::Remove => format!("forgetting node {node}"),
            Self::Look => format!("looking at node {node}"),
        }
    }
}

/// The kernel refused `action` on `node`.
pub(crate) fn refused(action: Action, node: u32, errno: Errno) -> Failure {
    let words = special(action, node, errno).unwrap_or_else(|| common(errno));
    Failure::explained(&action.doing(node), errno, words)
}

const VERSIONS: &str =
    "popcornctl and the modules are of different versions: build and install both anew";

/// What means something else than usual.
fn special(action: Action, node: u32, errno: Errno) -> Option<Words> {
    let (why, next) = match (action, errno) {
        (Action::Make, Errno::EEXIST) => (
            "it is set up already",
            format!("`popcornctl node list` shows its state; to change something, `popcornctl node leave {node}` first"),
        ),
        (Action::Make, Errno::EINVAL) => (
            "no node of another machine can have this id",
            "give the id of the other node, from 0 to 63; `*` marks this one in `popcornctl node list`".into(),
        ),
        (Action::Make, Errno::EBUSY) => (
            "a kernel of this machine has this id",
            "all nodes need ids of their own: load popcorn_msg with another node= on one of the machines".into(),
        ),
        (Action::Set(Attribute::Transport), Errno::EINVAL) => (
            "this kernel does not know that transport",
            VERSIONS.into(),
        ),
        (Action::Set(Attribute::Transport) | Action::Join, Errno::EOPNOTSUPP) => (
            "this kernel does not have TLS",
            "docs/tls.md lists what it needs; there is also `--transport tcp`, on both machines: in the clear, and from whoever says so, for a network that nobody else is on".into(),
        ),
        (Action::Set(_), Errno::EOPNOTSUPP) => (
            "this kernel does not have keys",
            "docs/tls.md lists what it needs".into(),
        ),
        (Action::Set(_), Errno::ENOKEY) => (
            "there is no key of that number",
            "`keyctl show %:.popcorn` lists the keys; docs/tls.md says how to make one".into(),
        ),
        (Action::Set(_), Errno::EKEYREVOKED | Errno::EKEYEXPIRED) => (
            "that key is not valid any more",
            "put a new one into the keyring .popcorn (docs/tls.md)".into(),
        ),
        (Action::Set(Attribute::PeerCertificate), Errno::EINVAL) => (
            "that key holds no certificate",
            "`openssl x509 -in node.pem -outform DER | keyctl padd asymmetric '' %:.popcorn` makes one, and prints its number".into(),
        ),
        (Action::Set(Attribute::Connect), Errno::EINVAL) => (
            "this is not the address of one host",
            "write it as 192.0.2.1:7411 or [2001:db8::1]:7411".into(),
        ),
        (Action::Set(_), Errno::EINVAL) => (
            "the kernel makes no sense of it",
            format!("{VERSIONS}; {SEE_LOG}"),
        ),
        (Action::Set(_), Errno::EBUSY) => (
            "it is joined, by another command",
            format!("`popcornctl node leave {node}` first"),
        ),
        (Action::Join, Errno::EALREADY) => (
            "it is joined already, by another command",
            "see `popcornctl node list`".into(),
        ),
        (Action::Join, Errno::EEXIST) => (
            "a kernel of this machine has got this id meanwhile",
            "all nodes need ids of their own: make that kernel anew when this one has joined".into(),
        ),
        (Action::Join, Errno::EINVAL) => (
            "the keys do not fit the transport, or another command has changed what was set",
            format!("keys and certificates are for tls, and who is accepted by a certificate is known by that (--peer-certificate) or its host (--from); {SEE_LOG}"),
        ),
        (Action::Join, Errno::EBUSY) => (
            "other nodes are accepted at that address, with another transport, kind of keys, or certificate of this node",
            "use the same for all at one address, or choose another by --listen".into(),
        ),
        (Action::Join, Errno::EADDRINUSE) => (
            "somebody else listens at that port",
            "`ss -ltn` shows who listens; choose another by --listen, and name it to the other side. Nodes that are to use the same port must name the same address".into(),
        ),
        (Action::Join, Errno::EADDRNOTAVAIL) => (
            "this machine does not have the address to listen at",
            "`ip -brief address` lists what it has; --listen 0.0.0.0 means all".into(),
        ),
        (Action::Join, Errno::EAFNOSUPPORT) => (
            "this kernel does not speak IP of that version",
            "use addresses of the other, or a kernel that does (CONFIG_IPV6)".into(),
        ),
        (Action::Leave, Errno::ETIMEDOUT) => (
            "not all threads and pages have come home in time; it stays a node",
            format!("`popcornctl ps` lists the threads that are away; try again, with a longer --timeout, or `popcornctl node leave {node} --force`, which ends their processes"),
        ),
        (Action::LeaveByForce, Errno::ETIMEDOUT) => (
            "it has not come to an end yet",
            format!("try again; {SEE_LOG}"),
        ),
        (Action::Leave | Action::LeaveByForce, Errno::EALREADY) => (
            "another command is at it",
            "wait for that one".into(),
        ),
        (Action::Leave, Errno::EBUSY) => (
            "the other node is still busy with an earlier wish to leave",
            "try again in a while".into(),
        ),
        (Action::Leave, Errno::EHOSTDOWN) => (
            "it was gone meanwhile, and is back",
            "try again".into(),
        ),
        (Action::LeaveByForce, Errno::EINVAL) => (
            "this kernel does not know how to do that",
            format!("`popcornctl node leave {node}`, without --force"),
        ),
        (Action::Force, Errno::EALREADY) => (
            "this machine is not suspended, so nothing is to be forced",
            "`popcornctl node list` shows who is there".into(),
        ),
        (Action::Force, Errno::EBUSY) => (
            "it is connected, or was until just now",
            format!("see `popcornctl node list`; if node {node} is missing there, try again in a while"),
        ),
        (Action::Force, Errno::ENOTCONN) => (
            "it has not joined",
            "`popcornctl node list` shows who is missing".into(),
        ),
        (Action::Remove, Errno::EBUSY) => (
            "it has joined again, by another command",
            "see `popcornctl node list`".into(),
        ),
        _ => return None,
    };
    Some((why.into(), next))
}

/// What means the same whatever was asked.
fn common(errno: Errno) -> Words {
    let (why, next) = match errno {
        Errno::ENOENT | Errno::ENODEV => (
            "it was not set up here as a node of another machine",
            "`popcornctl node list` shows the nodes; kernels of this machine end by `popcornctl kernel stop`",
        ),
        Errno::EPERM | Errno::EACCES => ("not permitted", "run this as root"),
        other => return refusal::common(other),
    };
    (why.into(), next.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::tests::assert_all_explained;
    use crate::refusal::tests::assert_names_unexpected;

    /// The errors that `docs/uapi.md` lists.
    const DOCUMENTED: &[(Action, &[Errno])] = &[
        (
            Action::Make,
            &[
                Errno::EEXIST,
                Errno::EINVAL,
                Errno::EBUSY,
                Errno::EACCES,
                Errno::ENOMEM,
            ],
        ),
        (
            Action::Set(Attribute::Transport),
            &[Errno::EINVAL, Errno::EBUSY, Errno::ENOENT],
        ),
        (
            Action::Set(Attribute::Connect),
            &[Errno::EINVAL, Errno::EBUSY, Errno::ENOENT],
        ),
        (
            Action::Set(Attribute::Listen),
            &[Errno::EINVAL, Errno::EBUSY, Errno::ENOENT],
        ),
        (
            Action::Set(Attribute::From),
            &[Errno::EINVAL, Errno::EBUSY, Errno::ENOENT],
        ),
        (
            Action::Set(Attribute::Psk),
            &[
                Errno::EINVAL,
                Errno::ENOKEY,
                Errno::EKEYEXPIRED,
                Errno::EOPNOTSUPP,
                Errno::EBUSY,
                Errno::ENOENT,
            ],
        ),
        (
            Action::Set(Attribute::PeerCertificate),
            &[
                Errno::EINVAL,
                Errno::ENOKEY,
                Errno::EKEYREVOKED,
                Errno::EOPNOTSUPP,
                Errno::EBUSY,
                Errno::ENOENT,
            ],
        ),
        (
            Action::Join,
            &[
                Errno::EBUSY,
                Errno::EALREADY,
                Errno::EINVAL,
                Errno::EOPNOTSUPP,
                Errno::EEXIST,
                Errno::EADDRINUSE,
                Errno::EADDRNOTAVAIL,
                Errno::EAFNOSUPPORT,
                Errno::ENOMEM,
                Errno::EINTR,
            ],
        ),
        (
            Action::Leave,
            &[
                Errno::ETIMEDOUT,
                Errno::EALREADY,
                Errno::EBUSY,
                Errno::EHOSTDOWN,
                Errno::ENOENT,
                Errno::EINTR,
                Errno::EACCES,
            ],
        ),
        (
            Action::LeaveByForce,
            &[Errno::ETIMEDOUT, Errno::EINVAL, Errno::ENOENT],
        ),
        (Action::Remove, &[Errno::EBUSY, Errno::ENOENT]),
    ];

    #[test]
    fn every_documented_errno_has_its_own_words_and_advice() {
        assert_all_explained(DOCUMENTED, |action, errno| refused(action, 1, errno));
    }

    #[test]
    fn an_unexpected_errno_is_named() {
        assert_names_unexpected(|errno| refused(Action::Join, 1, errno));
    }
}

// SPDX-License-Identifier: GPL-2.0
//! What this kernel is to know of a node of another machine before it joins; made as a whole, or not at all.

use super::directory::Attribute;
use super::directory::Peers;
use super::refusal::refused;
use super::refusal::Action;
use crate::cli::node::LinkArgs;
use crate::cli::node::Transport;
use crate::failure::Failure;
use nix::errno::Errno;
use popcorn_core::address::Address;
use popcorn_core::address::DEFAULT_PORT;
use std::net::IpAddr;

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// This kernel, to that address.
    Connect(Address),
    /// The other, to that address of this machine; from that host, if it is known.
    Listen(Address, Option<IpAddr>),
}

/// A node that is to join.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) node: u32,
    pub(crate) way: Way,
    pub(crate) link: LinkArgs,
    /// The name in its certificate, if that is not its address.
    pub(crate) peer_name: Option<String>,
}

impl Setup {
    /// What is written, in this order.
    fn attributes(&self) -> Vec<(Attribute, String)> {
        let link = &self.link;
        let mut attributes = vec![(Attribute::Transport, link.transport.to_string())];
        for (attribute, key) in [
            (Attribute::Psk, link.psk),
            (Attribute::Certificate, link.certificate),
            (Attribute::PrivateKey, link.private_key),
            (Attribute::PeerCertificate, link.peer_certificate),
        ] {
            attributes.extend(key.map(|key| (attribute, key.to_string())));
        }
        if let Some(name) = &self.peer_name {
            attributes.push((Attribute::PeerName, name.clone()));
        }
        match self.way {
            Way::Connect(address) => attributes.push((Attribute::Connect, address.to_string())),
            Way::Listen(address, from) => {
                attributes.push((Attribute::Listen, address.to_string()));
                if let Some(host) = from {
                    attributes.push((Attribute::From, host.to_string()));
                }
            }
        }
        attributes
    }

    /// Whether anybody could be that node who has a certificate of the authority that this side trusts: of whom it
    /// connects to it knows the name, of whom it accepts nothing. The kernel refuses that, too.
    pub(crate) fn is_anybodys(&self) -> bool {
        let link = &self.link;
        matches!(self.way, Way::Listen(_, None))
            && link.transport == Transport::Tls
            && link.psk.is_none()
            && link.peer_certificate.is_none()
    }

    /// Tells the kernel, which begins to look for the node, or to wait for it. After a failure nothing of it stays.
    pub(crate) fn begin(&self, peers: &impl Peers) -> Result<(), Failure> {
        peers
            .make(self.node)
            .map_err(|errno| refused(Action::Make, self.node, errno))?;
        self.fill(peers)
            .map_err(|failure| self.undone(peers, failure))
    }

    fn fill(&self, peers: &impl Peers) -> Result<(), Failure> {
        let write = |attribute, text: &str, action| {
            peers
                .write(self.node, attribute, text)
                .map_err(|errno| refused(action, self.node, errno))
        };
        for (attribute, text) in self.attributes() {
            write(attribute, &text, Action::Set(attribute))?;
        }
        write(Attribute::Join, "1", Action::Join)
    }

    /// Takes all of that back because of a failure, which it returns.
    pub(crate) fn undone(&self, peers: &impl Peers, failure: Failure) -> Failure {
        let node = self.node;
        // If it has not joined, nor need it leave.
        let _ = peers.write(node, Attribute::Leave, "1");
        let Err(errno) = peers.remove(node) else {
            return failure;
        };
        if errno == Errno::ENOENT {
            return failure;
        }
        let more = format!("what was set up is still there: `popcornctl node leave {node}`");
        let next = match failure.next.as_str() {
            "" => more,
            next => format!("{next}; {more}"),
        };
        Failure { next, ..failure }
    }

    /// What is to be typed on the other machine. `own`: the id of this node, if it is known.
    pub(crate) fn counterpart(&self, own: Option<u32>) -> String {
        let own = own.map_or("ID".into(), |id| id.to_string());
        // The numbers of keys are each machine's own.
        let transport = match (self.link.transport, self.link.psk) {
            (Transport::Tls, None) => "",
            (Transport::Tls, Some(_)) => " --psk KEY",
            (Transport::Tcp, _) => " --transport tcp",
        };
        match self.way {
            Way::Connect(address) => {
                let all = Address::any(address.port());
                let listen = match address.ip() {
                    IpAddr::V4(_) if address.port() == DEFAULT_PORT => String::new(),
                    IpAddr::V4(_) => format!(" --listen {all}"),
                    IpAddr::V6(_) => format!(" --listen {address}"),
                };
                // What is accepted by a certificate has to be known by one.
                let which = match (self.link.transport, self.link.psk) {
                    (Transport::Tls, None) => " --peer-certificate KEY",
                    _ => "",
                };
                format!("popcornctl node accept {own}{listen}{transport}{which}")
            }
            Way::Listen(address, _) => {
                let place = match (address.ip().is_unspecified(), address.port()) {
                    (false, _) => address.to_string(),
                    (true, DEFAULT_PORT) => "ADDRESS".into(),
                    (true, port) => format!("ADDRESS:{port}"),
                };
                format!("popcornctl node join {place} --node {own}{transport}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::FakePeers;

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    fn connect(text: &str) -> Setup {
        Setup {
            node: 1,
            way: Way::Connect(address(text)),
            link: LinkArgs {
                transport: Transport::Tcp,
                ..LinkArgs::default()
            },
            peer_name: None,
        }
    }

    fn listen(text: &str, from: Option<&str>) -> Setup {
        Setup {
            node: 1,
            way: Way::Listen(address(text), from.map(|text| text.parse().unwrap())),
            link: LinkArgs::default(),
            peer_name: None,
        }
    }

    #[test]
    fn only_what_is_of_use_is_written() {
        let peers = FakePeers::default();
        connect("192.0.2.1").begin(&peers).unwrap();
        assert_eq!(
            peers.written(),
            ["transport=tcp", "connect=192.0.2.1:7411", "join=1"]
        );
        let peers = FakePeers::default();
        let setup = listen("0.0.0.0:9", Some("192.0.2.2"));
        setup.begin(&peers).unwrap();
        assert_eq!(
            peers.written(),
            [
                "transport=tls",
                "listen=0.0.0.0:9",
                "from=192.0.2.2",
                "join=1"
            ]
        );
    }

    #[test]
    fn keys_are_told_by_number() {
        let peers = FakePeers::default();
        let mut setup = listen("0.0.0.0", None);
        setup.link.psk = Some(123);
        setup.begin(&peers).unwrap();
        assert_eq!(peers.written()[..2], ["transport=tls", "psk=123"]);
        let typed = setup.counterpart(Some(0));
        assert!(typed.ends_with("--node 0 --psk KEY"), "{typed}");

        let peers = FakePeers::default();
        let mut setup = connect("192.0.2.1");
        setup.link = LinkArgs {
            certificate: Some(1),
            private_key: Some(2),
            peer_certificate: Some(3),
            ..LinkArgs::default()
        };
        setup.peer_name = Some("a.example".into());
        setup.begin(&peers).unwrap();
        let keys = [
            "certificate=1",
            "private_key=2",
            "peer_certificate=3",
            "peer_name=a.example",
        ];
        assert_eq!(peers.written()[1..5], keys);
        let typed = setup.counterpart(Some(0));
        assert!(
            typed.ends_with("accept 0 --peer-certificate KEY"),
            "{typed}"
        );
    }

    #[test]
    fn who_is_accepted_by_a_certificate_has_to_be_known_by_something() {
        assert!(listen("0.0.0.0", None).is_anybodys());
        assert!(!listen("0.0.0.0", Some("192.0.2.2")).is_anybodys());
        let mut setup = listen("0.0.0.0", None);
        setup.link.peer_certificate = Some(1);
        assert!(!setup.is_anybodys());
        let mut setup = listen("0.0.0.0", None);
        setup.link.psk = Some(1);
        assert!(!setup.is_anybodys());
        let mut setup = connect("192.0.2.1");
        setup.link = LinkArgs::default();
        assert!(!setup.is_anybodys());
    }

    #[test]
    fn nothing_half_made_stays() {
        for attribute in [Attribute::Transport, Attribute::Connect, Attribute::Join] {
            let peers = FakePeers::default();
            peers.refuse(attribute, Errno::EINVAL);
            let failure = connect("192.0.2.1").begin(&peers).unwrap_err();
            assert_eq!(failure.errno, Some(Errno::EINVAL));
            assert!(peers.nodes().is_empty(), "{attribute:?}");
        }
        // One that was there before is not touched.
        let peers = FakePeers::default();
        peers.make(1).unwrap();
        let failure = connect("192.0.2.1").begin(&peers).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EEXIST));
        assert!(peers.written().is_empty());
        assert_eq!(peers.nodes(), [1]);
    }

    #[test]
    fn what_could_not_be_undone_is_said() {
        let peers = FakePeers::default();
        let setup = connect("192.0.2.1");
        setup.begin(&peers).unwrap();
        peers.refuse(Attribute::Leave, Errno::ETIMEDOUT);
        let failure = setup.undone(&peers, Failure::new("ended", ""));
        assert!(failure.next.starts_with("what was set up"), "{failure:?}");
        assert!(failure.next.contains("node leave 1"), "{failure:?}");
        peers.refuse_times(Attribute::Leave, Errno::ETIMEDOUT, 0);
        let failure = setup.undone(&peers, Failure::new("ended", "sleep"));
        assert_eq!(failure.next, "sleep");
        assert!(peers.nodes().is_empty());
    }

    #[test]
    fn it_knows_what_the_other_side_types() {
        for (setup, text) in [
            (connect("192.0.2.1"), "accept 0 --transport tcp"),
            (
                connect("192.0.2.1:9"),
                "accept 0 --listen 0.0.0.0:9 --transport tcp",
            ),
            (
                connect("2001:db8::1"),
                "accept 0 --listen [2001:db8::1]:7411 --transport tcp",
            ),
            (listen("0.0.0.0", None), "join ADDRESS --node 0"),
            (listen("[::]:9", None), "join ADDRESS:9 --node 0"),
            (
                listen("192.0.2.1", Some("192.0.2.2")),
                "join 192.0.2.1:7411 --node 0",
            ),
        ] {
            let typed = setup.counterpart(Some(0));
            assert_eq!(typed, format!("popcornctl node {text}"));
        }
        let typed = listen("0.0.0.0", None).counterpart(None);
        assert!(typed.ends_with("--node ID"), "{typed}");
    }
}

// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/config/popcorn_msg`: nodes of other machines; see `docs/uapi.md`.
//!
//! A directory is a node, its name the node's id. Kernels of this machine are not here: they find each
//! other by the window that `popcorn_boot` gives them.
//!
//! Lock: `Peer::state`, a mutex, held while a peer is joined or left; not while this node parts from it.

use crate::endpoint::Endpoint;
use crate::link::Link;
use crate::link::LinkState;
use crate::parting::PARTING_MS;
use crate::tcp::security::Credentials;
use crate::tcp::security::Security;
use crate::tcp::setup::Role;
use crate::tcp::Setup;

use core::fmt::Write;
use core::sync::atomic::Ordering;

use kernel::c_str;
use kernel::fmt;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;

use popcorn_core::address::Address;
use popcorn_core::ids::NodeId;
use popcorn_kernel::configfs::Attribute;
use popcorn_kernel::configfs::Entry;
use popcorn_kernel::configfs::Group;
use popcorn_kernel::configfs::Hold;
use popcorn_kernel::configfs::Item;
use popcorn_kernel::configfs::Text;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::key::Certificate;
use popcorn_kernel::key::KeySerial;
use popcorn_kernel::key::Keyring;
use popcorn_kernel::tls;

/// Bytes of the name in a certificate.
const NAME_MAX: usize = 253;

/// All nodes of other machines that are configured.
pub(crate) struct Configuration {
    endpoint: Arc<Endpoint>,
    /// `None`: this kernel has no keys, or no handshakes that are proven by them.
    keyring: Option<Arc<Keyring>>,
}

impl Configuration {
    /// None yet. May sleep.
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Result<Arc<Self>> {
        let made = if tls::IS_BUILT {
            Keyring::new(c_str!(".popcorn"))
        } else {
            Err(errno::not_supported())
        };
        let keyring = match made {
            Ok(keyring) => Some(Arc::new(keyring, GFP_KERNEL)?),
            Err(error) if error == errno::not_supported() => None,
            Err(error) => return Err(error),
        };
        Ok(Arc::new(Self { endpoint, keyring }, GFP_KERNEL)?)
    }
}

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By TLS: the default.
    Tls,
    /// In the clear, and from whoever says so: only if asked for by name.
    Tcp,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Tls => "tls",
            Kind::Tcp => "tcp",
        }
    }
}

struct State {
    kind: Kind,
    connect: Option<Address>,
    listen: Option<Address>,
    from: Option<Address>,
    psk: Option<KeySerial>,
    certificate: Option<KeySerial>,
    private_key: Option<KeySerial>,
    peer_name: Option<CString>,
    peer_certificate: Option<Arc<Certificate>>,
    /// While it is joined its directory stays.
    joined: Option<Hold>,
}

/// A node of another machine.
#[pin_data]
pub(crate) struct Peer {
    node: NodeId,
    endpoint: Arc<Endpoint>,
    keyring: Option<Arc<Keyring>>,
    #[pin]
    state: Mutex<State>,
}

impl Group for Configuration {
    type Item = Peer;

    fn make(&self, name: &CStr) -> Result<Arc<Peer>> {
        let node = number(name.as_bytes()).and_then(NodeId::new);
        let Some(node) = node.filter(|&node| node != self.endpoint.node()) else {
            pr_err!("a directory in popcorn_msg is called by the id of another node\n");
            return Err(EINVAL);
        };
        if self.endpoint.link(node).is_some() {
            pr_err!("node {} is a kernel of this machine\n", node);
            return Err(EBUSY);
        }
        let state = State {
            kind: Kind::Tls,
            connect: None,
            listen: None,
            from: None,
            psk: None,
            certificate: None,
            private_key: None,
            peer_name: None,
            peer_certificate: None,
            joined: None,
        };
        Arc::pin_init(
            pin_init!(Peer {
                node,
                endpoint: self.endpoint.clone(),
                keyring: self.keyring.clone(),
                state <- new_mutex!(state, "popcorn_msg::Peer::state"),
            }),
            GFP_KERNEL,
        )
    }

    fn dropped(&self, _peer: &Arc<Peer>) {
        // It is not joined: it could not have been removed.
    }
}

impl Item for Peer {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::read_write(c_str!("transport"), show_transport, store_transport),
        Attribute::read_write(c_str!("connect"), show_connect, store_connect),
        Attribute::read_write(c_str!("listen"), show_listen, store_listen),
        Attribute::read_write(c_str!("from"), show_from, store_from),
        Attribute::read_write(c_str!("psk"), show_psk, store_psk),
        Attribute::read_write(c_str!("certificate"), show_certificate, store_certificate),
        Attribute::read_write(c_str!("private_key"), show_private_key, store_private_key),
        Attribute::read_write(c_str!("peer_name"), show_peer_name, store_peer_name),
        Attribute::read_write(
            c_str!("peer_certificate"),
            show_peer_certificate,
            store_peer_certificate,
        ),
        Attribute::read_only(c_str!("keyring"), show_keyring),
        Attribute::write_only(c_str!("join"), store_join),
        Attribute::write_only(c_str!("leave"), store_leave),
        Attribute::write_only(c_str!("force"), store_force),
        Attribute::read_only(c_str!("members"), show_members),
        Attribute::read_only(c_str!("state"), show_state),
    ];
}

/// A decimal number without signs, spaces or leading zeros.
fn number(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    let value: u64 = text.parse().ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    is_plain.then_some(value)
}

/// Who may change a peer: whoever does so says who gets into this kernel. The files' modes alone would let a
/// process of root in that has given all else away.
fn check_may() -> Result {
    if current::is_admin() {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// Changes something while the peer is not joined.
fn change(peer: &Peer, with: impl FnOnce(&mut State)) -> Result {
    check_may()?;
    let mut state = peer.state.lock();
    if state.joined.is_some() {
        pr_err!("node {} is joined: it has to leave first\n", peer.node);
        return Err(EBUSY);
    }
    with(&mut state);
    Ok(())
}

fn show_transport(peer: &Peer, text: &mut Text<'_>) -> Result {
    Ok(writeln!(text, "{}", peer.state.lock().kind.name())?)
}

fn store_transport(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    let kind = [Kind::Tls, Kind::Tcp]
        .into_iter()
        .find(|kind| kind.name().as_bytes() == text)
        .ok_or(EINVAL)?;
    change(peer, |state| state.kind = kind)
}

fn show_address(address: Option<Address>, text: &mut Text<'_>) -> Result {
    match address {
        Some(address) => Ok(writeln!(text, "{}", address)?),
        None => text.put(b"\n"),
    }
}

/// An address, or nothing.
fn address(text: &[u8]) -> Result<Option<Address>> {
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    Address::parse(text).map(Some).map_err(|_| EINVAL)
}

fn show_connect(peer: &Peer, text: &mut Text<'_>) -> Result {
    show_address(peer.state.lock().connect, text)
}

fn store_connect(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    let address = address(text)?;
    if address.is_some_and(|address| !address.names_a_host()) {
        return Err(EINVAL);
    }
    change(peer, |state| state.connect = address)
}

fn show_listen(peer: &Peer, text: &mut Text<'_>) -> Result {
    show_address(peer.state.lock().listen, text)
}

fn store_listen(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    let address = address(text)?;
    change(peer, |state| state.listen = address)
}

fn show_from(peer: &Peer, text: &mut Text<'_>) -> Result {
    match peer.state.lock().from {
        Some(address) => Ok(writeln!(text, "{}", address.ip())?),
        None => text.put(b"\n"),
    }
}

fn store_from(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    let address = address(text)?;
    if address.is_some_and(|address| !address.names_a_host()) {
        return Err(EINVAL);
    }
    change(peer, |state| state.from = address)
}

fn show_key(key: Option<KeySerial>, text: &mut Text<'_>) -> Result {
    match key {
        Some(key) => Ok(writeln!(text, "{}", key)?),
        None => text.put(b"\n"),
    }
}

/// The serial number of a key, or nothing. May sleep.
fn key(text: &[u8]) -> Result<Option<KeySerial>> {
    let key = serial(text)?;
    key.map_or(Ok(()), KeySerial::check)?;
    Ok(key)
}

/// As [`key`], without looking whether there is such a key.
fn serial(text: &[u8]) -> Result<Option<KeySerial>> {
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let serial = number(text).and_then(|serial| i32::try_from(serial).ok());
    serial.and_then(KeySerial::new).map(Some).ok_or(EINVAL)
}

fn show_psk(peer: &Peer, text: &mut Text<'_>) -> Result {
    show_key(peer.state.lock().psk, text)
}

fn store_psk(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    let key = key(text)?;
    change(peer, |state| state.psk = key)
}

fn show_certificate(peer: &Peer, text: &mut Text<'_>) -> Result {
    show_key(peer.state.lock().certificate, text)
}

fn store_certificate(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    let key = key(text)?;
    change(peer, |state| state.certificate = key)
}

fn show_private_key(peer: &Peer, text: &mut Text<'_>) -> Result {
    show_key(peer.state.lock().private_key, text)
}

fn store_private_key(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    let key = key(text)?;
    change(peer, |state| state.private_key = key)
}

fn show_peer_name(peer: &Peer, text: &mut Text<'_>) -> Result {
    let state = peer.state.lock();
    text.put(
        state
            .peer_name
            .as_deref()
            .map_or(b"", |name| name.as_bytes()),
    )?;
    text.put(b"\n")
}

fn store_peer_name(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    if text.len() > NAME_MAX || !text.iter().all(u8::is_ascii_graphic) {
        return Err(EINVAL);
    }
    let name = match core::str::from_utf8(text) {
        Ok("") => None,
        Ok(name) => Some(CString::try_from_fmt(fmt!("{}", name))?),
        Err(_) => return Err(EINVAL),
    };
    change(peer, |state| state.peer_name = name)
}

fn show_peer_certificate(peer: &Peer, text: &mut Text<'_>) -> Result {
    let state = peer.state.lock();
    let certificate = state.peer_certificate.as_ref();
    show_key(certificate.map(|certificate| certificate.serial()), text)
}

fn store_peer_certificate(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    // What is looked up is more than who may not do this is to know.
    check_may()?;
    let certificate = match serial(text)? {
        Some(key) => {
            let certificate = Certificate::get(key).inspect_err(|&error| {
                if error == EINVAL {
                    pr_err!("node {}: key {} holds no certificate\n", peer.node, key);
                }
            })?;
            Some(Arc::new(certificate, GFP_KERNEL)?)
        }
        None => None,
    };
    change(peer, |state| state.peer_certificate = certificate)
}

fn show_keyring(peer: &Peer, text: &mut Text<'_>) -> Result {
    match &peer.keyring {
        Some(keyring) => Ok(writeln!(text, "{}", keyring.serial())?),
        None => text.put(b"\n"),
    }
}

/// How connections to the peer are protected, by what is set.
fn security(peer: &Peer, state: &State) -> Result<Security> {
    let credentials = match (
        state.kind,
        state.psk,
        state.certificate,
        state.private_key,
        &state.peer_certificate,
    ) {
        (Kind::Tcp, None, None, None, None) => return Ok(Security::Clear),
        (Kind::Tcp, ..) => {
            pr_err!(
                "node {}: there are keys, but 'transport' is in the clear\n",
                peer.node
            );
            return Err(EINVAL);
        }
        (Kind::Tls, Some(key), None, None, None) => Credentials::Key(key),
        (Kind::Tls, None, certificate, private_key, peer_certificate) => {
            let own = match (certificate, private_key) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                (None, None) => None,
                _ => {
                    pr_err!("node {}: a certificate needs its private key\n", peer.node);
                    return Err(EINVAL);
                }
            };
            // tlshd would look the address up, and where there are no names find that its name is "unknown".
            let peer_name = match (&state.peer_name, state.connect) {
                (Some(name), _) => Some(CString::try_from(&**name)?),
                (None, Some(address)) => Some(CString::try_from_fmt(fmt!("{}", address.ip()))?),
                (None, None) => None,
            };
            Credentials::X509 {
                own,
                peer_name,
                peer: peer_certificate.clone(),
            }
        }
        (Kind::Tls, ..) => {
            pr_err!("node {}: either 'psk' or a certificate\n", peer.node);
            return Err(EINVAL);
        }
    };
    Ok(Security::Tls {
        credentials,
        keyring: peer.keyring.clone(),
    })
}

/// What is written to a file that does something when it is written to.
fn check_go(text: &[u8]) -> Result {
    if text == b"1" {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

fn store_join(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    check_may()?;
    check_go(text)?;
    let mut state = peer.state.lock();
    if state.joined.is_some() {
        return Err(errno::already());
    }
    let role = match (state.connect, state.listen) {
        (Some(address), None) => Role::Connect(address),
        (None, Some(address)) => Role::Listen(address),
        _ => {
            pr_err!(
                "node {}: one of 'connect' and 'listen' says where, and the other nothing\n",
                peer.node
            );
            return Err(EINVAL);
        }
    };
    let security = security(peer, &state)?;
    if peer.keyring.is_none() && state.kind == Kind::Tls {
        pr_err!(
            "node {}: this kernel has no TLS handshakes (docs/tls.md); 'tcp' in 'transport' is in the clear\n",
            peer.node
        );
        return Err(errno::not_supported());
    }
    // Whom it connects to this side knows by name.
    if matches!(role, Role::Listen(_)) && state.from.is_none() && security.trusts_authority_alone()
    {
        pr_err!(
            "node {}: whoever has a certificate of the authority could be it: 'peer_certificate' says which one it has, 'from' its host\n",
            peer.node
        );
        return Err(EINVAL);
    }
    let hold = peer.hold()?;
    let setup = Setup {
        role,
        from: state.from,
        security,
    };
    peer.endpoint.connect(peer.node, setup)?;
    state.joined = Some(hold);
    Ok(())
}

/// How to leave: in order, within so many milliseconds, or (`None`) without asking anybody.
fn leaving(text: &[u8]) -> Result<Option<u32>> {
    match text {
        b"force" => Ok(None),
        b"1" => Ok(Some(PARTING_MS)),
        _ => {
            let time = text.strip_prefix(b"1 ").and_then(number).ok_or(EINVAL)?;
            Ok(Some(u32::try_from(time)?))
        }
    }
}

fn store_leave(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    check_may()?;
    let timeout_ms = leaving(text)?;
    if peer.state.lock().joined.is_none() {
        return Err(errno::not_connected());
    }
    // Without the lock, for this takes its time, and others may ask how it goes.
    let parting = match timeout_ms {
        Some(timeout_ms) => Some(peer.endpoint.part_from_system(peer.node, timeout_ms)?),
        None => None,
    };
    let mut state = peer.state.lock();
    if state.joined.is_none() {
        return Err(errno::not_connected());
    }
    match parting {
        // If somebody else left it meanwhile, and joined it anew, that is to stay.
        Some(parting) => peer.endpoint.leave(parting)?,
        None => peer.endpoint.leave_at_once(peer.node)?,
    }
    state.joined = None;
    Ok(())
}

/// The writer gives his word that this node, and all others that are missing, serve no more.
fn store_force(peer: &Entry<'_, Peer>, text: &[u8]) -> Result {
    check_may()?;
    check_go(text)?;
    if peer.state.lock().joined.is_none() {
        return Err(errno::not_connected());
    }
    peer.endpoint.core().members().force(peer.node)
}

/// What this machine and others have agreed on: the same in the directory of each.
fn show_members(peer: &Peer, text: &mut Text<'_>) -> Result {
    Ok(writeln!(
        text,
        "{}",
        peer.endpoint.core().members().describe()
    )?)
}

fn show_state(peer: &Peer, text: &mut Text<'_>) -> Result {
    let joined = peer.state.lock().joined.is_some();
    let link = peer.endpoint.link(peer.node).filter(|_| joined);
    let members = peer.endpoint.core().members();
    let is_waiting =
        |link: &Arc<Link>| link.met.load(Ordering::Acquire) && members.awaits(peer.node);
    let is_missing = |link: &Arc<Link>| link.missing.load(Ordering::Acquire);
    let name = match link.as_ref().map(|link| link.state()) {
        None => "configured",
        Some(LinkState::Online) if link.as_ref().is_some_and(is_missing) => "missing",
        Some(LinkState::Offline | LinkState::Dead) if link.as_ref().is_some_and(is_waiting) => {
            "waiting"
        }
        Some(LinkState::Offline) => "offline",
        Some(LinkState::Online) => "online",
        Some(LinkState::Dead) => "dead",
        Some(LinkState::Mismatch) => "mismatch",
    };
    Ok(writeln!(text, "{}", name)?)
}

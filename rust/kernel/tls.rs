// SPDX-License-Identifier: GPL-2.0
//! TLS 1.3 by the kernel's own means: `tlshd`, a process, shakes hands, and the kernel encrypts and decrypts (kTLS).
//!
//! Both sides prove who they are: by a key that both have, or by certificates. After [`handshake`] the [`Socket`] is
//! used as before; alerts of the peer, and all else that is no data, end it. `docs/tls.md` tells what a user does.
//!
//! C code, and why a handshake that is given up leaves nothing behind: `helpers/tls.c`.

use crate::bindings;
use crate::key::Certificate;
use crate::key::KeySerial;
use crate::key::Keyring;
use crate::socket::Socket;
use core::ffi::c_void;
use core::ptr::null;
use core::ptr::null_mut;
use kernel::error::to_result;
use kernel::prelude::*;

/// Whether this kernel has handshakes at all.
pub const IS_BUILT: bool = cfg!(CONFIG_NET_HANDSHAKE);

/// The most keys that a client can offer.
pub const KEYS_MAX: usize = bindings::PCN_TLS_KEYS_MAX as usize;

/// How many records may be sent by one connection, for the keys stay the same: less than what AES-GCM is good for (RFC
/// 8446, section 5.5). A record is what one send takes, at most 16 KiB of it.
pub const RECORDS_MAX: u64 = 1 << 24;

/// Which side of the handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that has connected.
    Client,
    /// The one that has accepted.
    Server,
}

/// By what both sides prove who they are.
#[derive(Clone, Copy, Debug)]
pub enum Authentication<'a> {
    /// Keys that both have, of type `psk`, in a keyring of which `tlshd` knows. A client offers them in this order,
    /// at most [`KEYS_MAX`]; a server takes no others.
    Keys(&'a [KeySerial]),
    /// Certificates, which each side checks against what its `tlshd` trusts.
    X509 {
        /// Our certificate and its private key, in DER; `None`: those that `tlshd` is configured with.
        own: Option<(KeySerial, KeySerial)>,
        /// For a client: the name or IP address that the server's certificate must be for. `None`: what its address
        /// is called.
        peer_name: Option<&'a CStr>,
    },
}

/// What a handshake needs.
pub struct Parameters<'a> {
    /// Who is who.
    pub authentication: Authentication<'a>,
    /// Where the keys are that were named by number, so that `tlshd` may read them.
    pub keyring: Option<&'a Keyring>,
}

/// Who the peer is, as far as it can be told.
pub enum Peer {
    /// The one that has this key.
    Key(KeySerial),
    /// The one whose certificate this is, which is trusted.
    Certificate(Certificate),
    /// One whose certificate is trusted; which one it is was not kept: `tlshd` does not do so, or another handshake's has
    /// taken its place already, or the kernel does not understand it.
    Trusted,
}

/// # Safety
///
/// `data` points to an `F` that lives.
unsafe extern "C" fn ask<F: Fn() -> bool>(data: *mut c_void) -> bool {
    // SAFETY: by the requirement.
    let should_end = unsafe { &*data.cast_const().cast::<F>() };
    should_end()
}

/// Shakes hands on a connected socket that nothing was sent or received on yet. Waits for `tlshd` and the peer: killable,
/// for `timeout_ms` at most, ended by [`Socket::shut_down`]. `should_end` is asked some twenty times a second whether to
/// give up. May sleep. If it fails, the socket is shut down.
///
/// # Errors
///
/// `EOPNOTSUPP`: this kernel has no handshakes. `ESRCH`: no `tlshd` runs. `EAGAIN`: there are too many at once. `EBUSY`: the
/// socket has had one. `EACCES`: either side has refused the other, or the peer has shown nothing or not what it must.
/// `ETIMEDOUT`, `EINTR`, `ESHUTDOWN`. `ECANCELED`: `should_end` said so. `EPROTO`: `tlshd` says that all is well, but the kernel does not encrypt both ways.
/// `EINVAL`: no keys, or too many. `EIO` and others: what `tlshd` says.
pub fn handshake<F: Fn() -> bool>(
    socket: &Socket,
    role: Role,
    parameters: &Parameters<'_>,
    timeout_ms: u32,
    should_end: F,
) -> Result<Peer> {
    let mut raw = bindings::pcn_tls_parameters {
        is_server: role == Role::Server,
        timeout_ms,
        keyring: parameters.keyring.map_or(0, Keyring::serial),
        peer_name: null(),
        should_end: Some(ask::<F>),
        data: (&raw const should_end).cast_mut().cast(),
        ..Default::default()
    };
    match parameters.authentication {
        Authentication::Keys(keys) => {
            if keys.is_empty() || (role == Role::Client && keys.len() > KEYS_MAX) {
                return Err(EINVAL);
            }
            raw.has_keys = true;
            for (to, key) in raw.keys.iter_mut().zip(keys) {
                *to = key.get();
                raw.key_count += 1;
            }
        }
        Authentication::X509 { own, peer_name } => {
            if let Some((certificate, private_key)) = own {
                raw.certificate = certificate.get();
                raw.private_key = private_key.get();
            }
            if let Some(name) = peer_name {
                raw.peer_name = name.as_char_ptr();
            }
        }
    }
    let (mut peer, mut certificate) = (0, null_mut());
    // SAFETY: the socket is valid; the parameters, the name and the closure in them, live until it returns, and nobody
    // uses them after that. `ask` is for closures of this type. Writes to the variables, which live.
    to_result(unsafe {
        bindings::pcn_tls_handshake(socket.as_ptr(), &raw, &mut peer, &mut certificate)
    })
    .inspect_err(|_| socket.shut_down())?;
    let key = KeySerial::new(peer);
    // SAFETY: the key with that number, with its reference, or null.
    let certificate = key.and_then(|key| unsafe { Certificate::from_raw(certificate, key) });

    // tlshd takes any key that it can find, those of others too, and a server's takes a client that shows none.
    let peer = match (parameters.authentication, certificate) {
        (Authentication::Keys(keys), _) => key.filter(|key| keys.contains(key)).map(Peer::Key),
        (Authentication::X509 { .. }, Some(certificate)) => Some(Peer::Certificate(certificate)),
        // A client's tlshd has checked the certificate in any case, without which there is no handshake.
        (Authentication::X509 { .. }, None) if role == Role::Server && peer == 0 => None,
        (Authentication::X509 { .. }, None) => Some(Peer::Trusted),
    };
    peer.ok_or_else(|| {
        socket.shut_down();
        EACCES
    })
}

/// For the end of the module: nobody is in the code of a handshake any more. There is none that waits. May sleep.
pub fn exit() {
    // SAFETY: no requirement.
    unsafe { bindings::pcn_tls_exit() };
}

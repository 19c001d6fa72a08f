// SPDX-License-Identifier: GPL-2.0
//! Who a peer must prove to be before it is talked to, and how. `docs/tls.md`.

use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;

use popcorn_kernel::key::Certificate;
use popcorn_kernel::key::KeySerial;
use popcorn_kernel::key::Keyring;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::tls;
use popcorn_kernel::tls::Authentication;
use popcorn_kernel::tls::Parameters;
use popcorn_kernel::tls::Peer;

/// For a handshake: both `tlshd`, and the way between.
pub(super) const HANDSHAKE_MS: u32 = 5000;

/// What both sides prove themselves by.
pub(crate) enum Credentials {
    /// A key that both have, and nobody else.
    Key(KeySerial),
    /// Certificates of authorities that both trust.
    X509 {
        /// This side's certificate and its private key; `None`: those of `tlshd`.
        own: Option<(KeySerial, KeySerial)>,
        /// Whom this side expects if it connects; `None`: the name of the address.
        peer_name: Option<CString>,
        /// That of the other side, or another of its key; `None`: any that is trusted, for that name.
        peer: Option<Arc<Certificate>>,
    },
}

/// How a connection is protected.
pub(crate) enum Security {
    /// Not at all: anybody on the network can read and forge what is said.
    Clear,
    /// By TLS.
    Tls {
        credentials: Credentials,
        /// Where the keys are.
        keyring: Option<Arc<Keyring>>,
    },
}

/// What this side does before it knows who has connected: the same for all who are expected at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing.
    Clear,
    /// Offers the keys of all of them.
    Key,
    /// Shows this certificate, of which it has the private key; `None`: that of `tlshd`.
    X509(Option<(KeySerial, KeySerial)>),
}

impl Security {
    pub(super) fn opening(&self) -> Opening {
        match self {
            Security::Clear => Opening::Clear,
            Security::Tls {
                credentials: Credentials::Key(_),
                ..
            } => Opening::Key,
            Security::Tls {
                credentials: Credentials::X509 { own, .. },
                ..
            } => Opening::X509(*own),
        }
    }

    /// The key, if there is one.
    pub(super) fn key(&self) -> Option<KeySerial> {
        match self {
            Security::Tls {
                credentials: Credentials::Key(key),
                ..
            } => Some(*key),
            _ => None,
        }
    }

    /// Whether whoever has a certificate of the authority can be the other side, if he connects from where it may.
    pub(crate) fn trusts_authority_alone(&self) -> bool {
        matches!(
            self,
            Security::Tls {
                credentials: Credentials::X509 { peer: None, .. },
                ..
            }
        )
    }

    /// Whether who has shown this is the one who is meant. May sleep.
    ///
    /// # Errors
    ///
    /// Why he is not, in words.
    pub(super) fn check(&self, shown: Option<&Peer>) -> core::result::Result<(), &'static str> {
        let Security::Tls { credentials, .. } = self else {
            return Ok(());
        };
        match (credentials, shown) {
            (Credentials::Key(own), Some(Peer::Key(key))) if key == own => Ok(()),
            (Credentials::Key(_), _) => Err("its key is another node's"),
            (Credentials::X509 { peer: None, .. }, _) => Ok(()),
            (
                Credentials::X509 {
                    peer: Some(peer), ..
                },
                Some(Peer::Certificate(shown)),
            ) => {
                peer.serial().check().map_err(|_| {
                    "the certificate that it must show is revoked, or expired, here"
                })?;
                if peer.has_same_key(shown) {
                    Ok(())
                } else {
                    Err("its certificate is another node's")
                }
            }
            (Credentials::X509 { peer: Some(_), .. }, _) => {
                Err("tlshd did not hand over its certificate (docs/tls.md)")
            }
        }
    }

    /// Protects a connection that this side has made, unless `should_end`; what the other side has shown, which is to be
    /// [checked](Self::check). May sleep.
    ///
    /// # Errors
    ///
    /// As [`tls::handshake`].
    pub(super) fn connected(
        &self,
        socket: &Socket,
        should_end: impl Fn() -> bool,
    ) -> Result<Option<Peer>> {
        match self {
            Security::Clear => Ok(None),
            Security::Tls { credentials, .. } => {
                let one;
                let authentication = match credentials {
                    Credentials::Key(key) => {
                        one = [*key];
                        Authentication::Keys(&one)
                    }
                    Credentials::X509 { own, peer_name, .. } => Authentication::X509 {
                        own: *own,
                        peer_name: peer_name.as_deref(),
                    },
                };
                self.shake(socket, tls::Role::Client, authentication, should_end)
                    .map(Some)
            }
        }
    }

    /// Protects a connection that somebody else has made, who is one of those that have `keys`, if there are
    /// keys, unless `should_end`; what he has shown. May sleep.
    ///
    /// # Errors
    ///
    /// As [`tls::handshake`].
    pub(super) fn accepted(
        &self,
        socket: &Socket,
        keys: &[KeySerial],
        should_end: impl Fn() -> bool,
    ) -> Result<Option<Peer>> {
        match self {
            Security::Clear => Ok(None),
            Security::Tls { credentials, .. } => {
                let authentication = match credentials {
                    Credentials::Key(_) => Authentication::Keys(keys),
                    Credentials::X509 { own, .. } => Authentication::X509 {
                        own: *own,
                        peer_name: None,
                    },
                };
                self.shake(socket, tls::Role::Server, authentication, should_end)
                    .map(Some)
            }
        }
    }

    fn shake(
        &self,
        socket: &Socket,
        role: tls::Role,
        authentication: Authentication<'_>,
        should_end: impl Fn() -> bool,
    ) -> Result<Peer> {
        let keyring = match self {
            Security::Tls { keyring, .. } => keyring.as_deref(),
            Security::Clear => None,
        };
        let parameters = Parameters {
            authentication,
            keyring,
        };
        tls::handshake(socket, role, &parameters, HANDSHAKE_MS, should_end)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! What is in force on this kernel's TCP connections; for tests.
//!
//! C code: `helpers/connections_kunit.c`.

use crate::bindings;
use crate::socket::Options;

/// Whose end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who has connected.
    Connected,
    /// Who has accepted that.
    Accepted,
}

/// How many ends of connections there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Of connections that are established.
    pub all: u32,
    /// Of these, what is sent goes out at once (`TCP_NODELAY`).
    pub at_once: u32,
    /// Of these, the peer is looked after (`SO_KEEPALIVE`), and all of the options is in force. One whose timer has just
    /// run out is left out.
    pub as_asked: u32,
}

/// The ends on that side of the connections to `port`, and those of them with `options`. Looks at all connections of
/// this kernel. Process context.
pub fn to(port: u16, side: Side, options: &Options) -> Ends {
    let mut found = bindings::pcn_connections::default();
    let accepted = side == Side::Accepted;
    // SAFETY: reads the options and writes to the variable, which live.
    unsafe { bindings::pcn_connections_find(port, accepted, &options.encode(), &mut found) };
    Ends {
        all: found.all,
        at_once: found.at_once,
        as_asked: found.as_asked,
    }
}

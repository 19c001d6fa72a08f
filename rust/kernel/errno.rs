// SPDX-License-Identifier: GPL-2.0
//! Error numbers that `kernel::error::code` does not name, and the way of one over the wire.

use kernel::bindings;
use kernel::error::Error;
use kernel::prelude::*;

macro_rules! errnos {
    ($($(#[$meta:meta])* $name:ident = $code:ident;)*) => {$(
        $(#[$meta])*
        pub fn $name() -> Error {
            Error::from_errno(-(bindings::$code as i32))
        }
    )*};
}

errnos! {
    /// `EALREADY`
    already = EALREADY;
    /// `EBADMSG`
    bad_message = EBADMSG;
    /// `ECANCELED`
    canceled = ECANCELED;
    /// `ECONNREFUSED`
    connection_refused = ECONNREFUSED;
    /// `ECONNRESET`
    connection_reset = ECONNRESET;
    /// `EHOSTDOWN`: the node is not online.
    host_down = EHOSTDOWN;
    /// `EINPROGRESS`
    in_progress = EINPROGRESS;
    /// `EMSGSIZE`
    message_size = EMSGSIZE;
    /// `ENOBUFS`
    no_buffers = ENOBUFS;
    /// `ENOSPC`
    no_space = ENOSPC;
    /// `ENOSYS`
    no_such_call = ENOSYS;
    /// `EOPNOTSUPP`
    not_supported = EOPNOTSUPP;
    /// `ENOTCONN`
    not_connected = ENOTCONN;
    /// `EPROTO`: a peer sent what it must not.
    protocol = EPROTO;
    /// `ESHUTDOWN`
    shutdown = ESHUTDOWN;
    /// `ESTALE`
    stale = ESTALE;
    /// `ETIMEDOUT`
    timed_out = ETIMEDOUT;
}

/// As a status for the wire: 0 or a negative errno.
pub fn to_status(result: Result) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// From a status that came over the wire; one that no kernel uses becomes `EPROTO`.
pub fn from_status(status: i32) -> Result {
    match status {
        0 => Ok(()),
        -4095..=-1 => Err(Error::from_errno(status)),
        _ => Err(protocol()),
    }
}

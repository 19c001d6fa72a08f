// SPDX-License-Identifier: GPL-2.0
//! Typed messages with a tail, as the services of processes, layouts and pages use them.

use kernel::prelude::*;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::NodeId;
use popcorn_core::wire::Wire;
use popcorn_kernel::errno;
use popcorn_kernel::wait::Sleep;
use popcorn_msg::Acknowledgement;
use popcorn_msg::CallOptions;
use popcorn_msg::Called;
use popcorn_msg::Response;
use popcorn_msg::FIXED_MAX;

/// Stands for no limit: what is asked may take as long as it likes, and the death of the node that
/// is asked ends it.
const NO_LIMIT: u32 = u32::MAX;

fn with_bytes<M: Wire, R>(message: &M, then: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
    const { assert!(M::SIZE <= FIXED_MAX) };
    let mut bytes = [0; FIXED_MAX];
    let length = message
        .encode(&mut bytes)
        .map_err(|_| errno::message_size())?;
    then(&bytes[..length])
}

const fn options(sleep: Sleep) -> CallOptions {
    CallOptions {
        timeout_ms: NO_LIMIT,
        sleep,
        poll_us: None,
    }
}

const fn sleep_of(is_killable: bool) -> Sleep {
    match is_killable {
        true => Sleep::Killable,
        false => Sleep::Idle,
    }
}

/// Asks and waits; ended by a fatal signal and by the death of the node.
///
/// # Errors
///
/// `EINTR`, `EHOSTDOWN`, or what the node answered.
pub fn call<M: Wire>(node: NodeId, message: &M, tail: &[u8]) -> Result<Response> {
    let options = options(Sleep::Killable);
    with_bytes(message, |bytes| {
        popcorn_msg::endpoint()?.call(node, M::TYPE, &[bytes, tail], options)
    })
}

/// Asks and waits; ended by the death of the node. If `is_killable`, who is killed leaves the rest to somebody else.
/// For what must not be abandoned halfway.
///
/// # Errors
///
/// `EINTR`: killed, and the node was not asked. `EHOSTDOWN`, or what the node answered.
pub(crate) fn call_or_leave<M: Wire>(
    node: NodeId,
    message: &M,
    is_killable: bool,
) -> Result<Called> {
    let options = options(sleep_of(is_killable));
    with_bytes(message, |bytes| {
        popcorn_msg::endpoint()?.call_or_leave(node, M::TYPE, &[bytes], options)
    })
}

/// Asks all of `nodes` at once and waits; ended by the death of each. If `is_killable`, also by a fatal signal; who is
/// killed may leave the answers that are yet to come to somebody else.
///
/// # Errors
///
/// `ENOMEM`: nobody was asked.
pub fn multicast<M: Wire>(
    nodes: NodeSet,
    message: &M,
    is_killable: bool,
) -> Result<Acknowledgement> {
    let options = options(sleep_of(is_killable));
    with_bytes(message, |bytes| {
        popcorn_msg::multicast(nodes, M::TYPE, &[bytes], options)
    })
}

/// Tells, without an answer. Waits, killable, while the way is full.
///
/// # Errors
///
/// `EINTR`, `EHOSTDOWN`.
pub fn post<M: Wire>(node: NodeId, message: &M, tail: &[u8]) -> Result {
    with_bytes(message, |bytes| {
        popcorn_msg::post(node, M::TYPE, &[bytes, tail])
    })
}

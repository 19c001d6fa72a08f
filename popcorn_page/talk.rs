// SPDX-License-Identifier: GPL-2.0
//! Typed messages with a tail, as the services of processes, layouts and pages use them.

use kernel::prelude::*;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::NodeId;
use popcorn_core::message::OneWay;
use popcorn_core::message::Request;
use popcorn_kernel::errno;
use popcorn_kernel::wait::Sleep;
use popcorn_msg::Acknowledgement;
use popcorn_msg::CallOptions;
use popcorn_msg::Called;
use popcorn_msg::Response;

/// Stands for no limit: what is asked may take as long as it likes, and the death of the node that
/// is asked ends it.
pub const NO_LIMIT: u32 = u32::MAX;

const fn options(sleep: Sleep, timeout_ms: u32) -> CallOptions {
    CallOptions {
        timeout_ms,
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
pub fn call<M: Request>(node: NodeId, message: &M, tail: &[u8]) -> Result<Response> {
    popcorn_msg::request(node, message, &[tail], options(Sleep::Killable, NO_LIMIT))
}

/// Asks and waits; ended by the death of the node. After `timeout_ms`, or when he is killed if `is_killable`, who asks
/// leaves the rest to somebody else. For what must not be abandoned halfway.
///
/// # Errors
///
/// `EINTR`, `ETIMEDOUT`: the node was not asked. `EHOSTDOWN`, or what the node answered.
pub(crate) fn call_or_leave<M: Request>(
    node: NodeId,
    message: &M,
    is_killable: bool,
    timeout_ms: u32,
) -> Result<Called> {
    let options = options(sleep_of(is_killable), timeout_ms);
    popcorn_msg::request_or_leave(node, message, &[], options)
}

/// Asks all of `nodes` at once and waits; ended by the death of each, or after `timeout_ms`. If `is_killable`, also by
/// a fatal signal. Who does not wait on may leave the answers that are yet to come to somebody else.
///
/// # Errors
///
/// `ENOMEM`: nobody was asked.
pub fn multicast<M: Request>(
    nodes: NodeSet,
    message: &M,
    is_killable: bool,
    timeout_ms: u32,
) -> Result<Acknowledgement> {
    let options = options(sleep_of(is_killable), timeout_ms);
    popcorn_msg::multicast_typed(nodes, message, &[], options)
}

/// Whether what a node answers means that it has nothing of a space (any more): it died, or the process did there, or
/// it makes no sense. After any other error it has what it had: there was no memory for the question, say.
pub fn is_gone(error: Error) -> bool {
    let gone = [
        errno::host_down(),
        errno::shutdown(),
        errno::protocol(),
        errno::not_supported(),
        ENODEV,
        ESRCH,
        EPERM,
    ];
    gone.contains(&error)
}

/// Tells, without an answer. Waits, killable, while the way is full.
///
/// # Errors
///
/// `EINTR`, `EHOSTDOWN`.
pub fn post<M: OneWay>(node: NodeId, message: &M, tail: &[u8]) -> Result {
    popcorn_msg::post_typed(node, message, &[tail])
}

/// Tells that something has ended here. No signal ends the wait while the way is full, but the node's end does.
///
/// # Errors
///
/// `EHOSTDOWN`.
pub fn post_last<M: OneWay>(node: NodeId, message: &M) -> Result {
    popcorn_msg::post_last_typed(node, message)
}

// SPDX-License-Identifier: GPL-2.0
//! The trace events `popcorn:msg_*`. While nobody listens each of these functions is a load and a
//! branch, inlined into its caller; on a kernel without tracepoints it is nothing. Any context.
//!
//! C code: `helpers/trace.c`, `helpers/msg_trace.h`.

use crate::bindings;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;

/// Whether somebody listens to the event with this bit.
#[inline(always)]
fn is_on(event: u32) -> bool {
    if !cfg!(CONFIG_TRACEPOINTS) {
        return false;
    }
    // SAFETY: the word is aligned, there as long as the module is, and written by C only in one piece
    // (WRITE_ONCE).
    let enabled = unsafe { AtomicU32::from_ptr(&raw mut bindings::pcn_trace_enabled) };
    enabled.load(Ordering::Relaxed) & event != 0
}

/// A message, as the events tell of it.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// The other node.
    pub node: NodeId,
    /// Its type.
    pub kind: u16,
    /// Its class.
    pub class: Class,
    /// Its request id, or 0.
    pub request: u64,
    /// Bytes of its payload.
    pub bytes: u32,
    /// Of a response: 0 or a negative errno.
    pub status: i32,
}

/// `popcorn:msg_send`: a message was sent.
#[inline(always)]
pub fn msg_send(message: Message) {
    if is_on(bindings::PCN_TRACE_MSG_SEND) {
        // SAFETY: no requirement.
        unsafe {
            bindings::pcn_trace_msg_send(
                message.node.get().into(),
                message.kind.into(),
                message.class.get().into(),
                message.request,
                message.bytes,
                message.status,
            );
        }
    }
}

/// `popcorn:msg_receive`: a message came, and was in order.
#[inline(always)]
pub fn msg_receive(message: Message) {
    if is_on(bindings::PCN_TRACE_MSG_RECEIVE) {
        // SAFETY: no requirement.
        unsafe {
            bindings::pcn_trace_msg_receive(
                message.node.get().into(),
                message.kind.into(),
                message.class.get().into(),
                message.request,
                message.bytes,
                message.status,
            );
        }
    }
}

/// `popcorn:msg_call_begin`: a request is about to be sent. `bytes`, of its payload, is asked only if
/// somebody listens.
#[inline(always)]
pub fn msg_call_begin(node: NodeId, kind: u16, request: u64, bytes: impl FnOnce() -> usize) {
    if is_on(bindings::PCN_TRACE_MSG_CALL_BEGIN) {
        // SAFETY: no requirement.
        unsafe {
            bindings::pcn_trace_msg_call_begin(
                node.get().into(),
                kind.into(),
                request,
                clamped(bytes()),
            );
        }
    }
}

/// `popcorn:msg_call_end`: the call ended `ns` after it had begun, with a response of `bytes`, or with
/// the negative errno `status`.
#[inline(always)]
pub fn msg_call_end(node: NodeId, kind: u16, request: u64, bytes: usize, ns: u64, status: i32) {
    if is_on(bindings::PCN_TRACE_MSG_CALL_END) {
        // SAFETY: no requirement.
        unsafe {
            bindings::pcn_trace_msg_call_end(
                node.get().into(),
                kind.into(),
                request,
                clamped(bytes),
                ns,
                status,
            );
        }
    }
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// Messages can be sent to it.
    Online,
    /// It left in order.
    Left,
    /// It is dead, or was given up.
    Dead,
}

/// `popcorn:msg_node`: a node came or went; `life` is its incarnation.
pub fn msg_node(node: NodeId, change: NodeChange, life: u64) {
    if is_on(bindings::PCN_TRACE_MSG_NODE) {
        let change = match change {
            NodeChange::Online => bindings::PCN_NODE_ONLINE,
            NodeChange::Left => bindings::PCN_NODE_LEFT,
            NodeChange::Dead => bindings::PCN_NODE_DEAD,
        };
        // SAFETY: no requirement.
        unsafe { bindings::pcn_trace_msg_node(node.get().into(), change, life) };
    }
}

/// As an event holds it; no payload is that long.
fn clamped(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

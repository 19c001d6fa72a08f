// SPDX-License-Identifier: GPL-2.0
//! KUnit: packets, and what becomes of frames that a peer sends. The interface is not registered, so no frame
//! gets to the network stack: one that is for it counts as not taken.
//!
//! The suite is in `suite_kunit.c`.

use crate::counters::Counters;
use crate::network::Port;

use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::net_frame::Checksum;
use popcorn_core::net_frame::Offload;
use popcorn_core::net_frame::Segments;
use popcorn_core::net_frame::FRAME_MAX;
use popcorn_core::net_frame::PIECE_MAX;
use popcorn_core::net_route::address_of;
use popcorn_core::proto::NetFrame;
use popcorn_core::proto::NetSegments;
use popcorn_core::wire::Wire;
use popcorn_kernel::check;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit_cases;
use popcorn_kernel::netdev::Draft;
use popcorn_kernel::system;

const QUEUES: usize = 2;
/// An Ethernet header and an IPv4 header.
const HEADERS: u16 = 14 + 20;

kunit_cases! {
    "popcorn_net", "popcorn_net/tests.rs";
    popcorn_net_test_packets_hold_their_bytes = packets;
    popcorn_net_test_offload_that_is_left = offload;
    popcorn_net_test_pieces_that_are_lost = pieces;
    popcorn_net_test_garbage_from_a_peer = garbage;
    popcorn_net_test_routes_of_frames = routes;
}

fn port() -> Result<Arc<Port>> {
    Port::new(popcorn_msg::endpoint()?, QUEUES)
}

/// A node that this one is not.
fn other(port: &Port) -> NodeId {
    NodeId::all()
        .find(|node| *node != port.own() && *node != NodeId::PRIMARY)
        .unwrap_or(NodeId::PRIMARY)
}

fn counters(port: &Port, queue: usize) -> Result<&Counters> {
    Ok(&port.interface.driver().queue(queue).ok_or(EINVAL)?.counters)
}

fn is(counter: &AtomicU64, value: u64) -> bool {
    counter.load(Ordering::Relaxed) == value
}

/// A frame of `length` bytes from `from` to this node; the bytes behind its addresses differ.
fn frame(port: &Port, from: NodeId, length: usize) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::from_elem(0u8, length, GFP_KERNEL)?;
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = (i * 7 + i / 251) as u8;
    }
    let addresses = [address_of(port.own()), address_of(from)];
    for (to, from) in bytes.iter_mut().zip(addresses.iter().flatten()) {
        *to = *from;
    }
    Ok(bytes)
}

/// Gives the port a message, as if it had come.
fn bring(port: &Port, from: NodeId, head: NetFrame, bytes: &[u8]) -> Result {
    let mut message = KVVec::from_elem(0u8, NetFrame::SIZE, GFP_KERNEL)?;
    head.encode(&mut message).map_err(|_| EINVAL)?;
    message.extend_from_slice(bytes, GFP_KERNEL)?;
    port.piece(from, &message);
    Ok(())
}

fn packets() -> Outcome {
    let port = port()?;
    let from = other(&port);
    let mut copy = KVVec::from_elem(0u8, PIECE_MAX, GFP_KERNEL)?;
    // With and without pages, of one size and of several.
    for length in [14, 255, 256, 257, 5000, 40_000, FRAME_MAX as usize] {
        let bytes = frame(&port, from, length)?;
        let mut draft = Draft::new(length as u32)?;
        for part in bytes.chunks(1000) {
            draft.append(part)?;
        }
        check!(draft.append(&[0]) == Err(EFAULT));
        let packet = draft.finish(&Offload::NONE)?;
        check!(packet.length() == length as u32);
        let copied = packet.copy()?;
        for packet in [&packet, &copied] {
            let mut read = KVVec::from_elem(0u8, length, GFP_KERNEL)?;
            packet.read(0, &mut read)?;
            check!(read[..] == bytes[..]);
            check!(packet.read(1, &mut read) == Err(EFAULT));
            let mut offset = 0;
            while offset < length {
                offset +=
                    packet.with_parts(offset as u32, &mut copy, |parts| -> Result<usize> {
                        let mut at = offset;
                        for part in parts {
                            if bytes.get(at..at + part.len()) != Some(*part) {
                                return Err(EIO);
                            }
                            at += part.len();
                        }
                        Ok(at - offset)
                    })??;
            }
            check!(offset == length);
            check!(packet.with_parts(offset as u32, &mut copy, |_| ()) == Err(EFAULT));
        }
    }
    // One that is not full is no packet.
    let mut draft = Draft::new(100)?;
    draft.append(&[0; 99])?;
    check!(draft.finish(&Offload::NONE).is_err());
    check!(Draft::new(u32::MAX).is_err());
    Ok(())
}

fn tcp(size: u16) -> Offload {
    Offload {
        checksum: Checksum::Missing {
            start: HEADERS,
            offset: 16,
        },
        segments: Some(Segments {
            kind: NetSegments::Tcp4,
            size,
            congestion: false,
        }),
    }
}

/// What a packet is told to have left to do, it has.
fn offload() -> Outcome {
    let port = port()?;
    let from = other(&port);
    let missing = Offload {
        segments: None,
        ..tcp(0)
    };
    let right = Offload {
        checksum: Checksum::Right,
        segments: None,
    };
    for length in [60usize, 3000, FRAME_MAX as usize] {
        let bytes = frame(&port, from, length)?;
        for offload in [Offload::NONE, missing, right, tcp(1460)] {
            let mut draft = Draft::new(length as u32)?;
            draft.append(&bytes)?;
            let packet = draft.finish(&offload)?;
            let expected = if length == 60 && offload.segments.is_some() {
                // Too small to be cut.
                missing
            } else {
                offload
            };
            check!(packet.offload()? == expected);
            check!(packet.copy()?.offload()? == expected);
        }
        for offload in [tcp(0), tcp(1), tcp(u16::MAX)] {
            let mut draft = Draft::new(length as u32)?;
            draft.append(&bytes)?;
            check!(draft.finish(&offload).is_err());
        }
    }
    Ok(())
}

fn pieces() -> Outcome {
    let port = port()?;
    let from = other(&port);
    let counters = counters(&port, 0)?;
    let length = FRAME_MAX as usize;
    let bytes = frame(&port, from, length)?;
    // Queue 2 is queue 0 here.
    let head = tcp(1460).head(7, length as u32, QUEUES as u16);
    let send = |skip: Option<usize>| -> Result {
        for (number, part) in bytes.chunks(PIECE_MAX).enumerate() {
            if Some(number) != skip {
                let offset = (number * PIECE_MAX) as u32;
                bring(&port, from, NetFrame { offset, ..head }, part)?;
            }
        }
        Ok(())
    };
    check!(bytes.chunks(PIECE_MAX).count() == 3);
    send(None)?;
    check!(is(&counters.rx_not_taken, 1) && is(&counters.rx_pieces, 3));
    check!(is(&counters.rx_torn, 0) && is(&counters.rx_stray_pieces, 0));
    // Without the first, all are strays; without the second, the third tears the frame.
    send(Some(0))?;
    check!(is(&counters.rx_stray_pieces, 2) && is(&counters.rx_torn, 0));
    send(Some(1))?;
    check!(is(&counters.rx_stray_pieces, 3) && is(&counters.rx_torn, 1));
    // Without the last, the next frame does.
    send(Some(2))?;
    send(None)?;
    check!(is(&counters.rx_torn, 2) && is(&counters.rx_not_taken, 2));
    // One that is begun goes with its node.
    send(Some(2))?;
    port.left(from);
    send(None)?;
    check!(is(&counters.rx_torn, 2) && is(&counters.rx_not_taken, 3));
    // And with the port.
    send(Some(2))?;
    check!(is(&counters.rx_malformed, 0));
    Ok(())
}

fn one_of(values: &[u16], random: u64) -> u16 {
    let at = random as usize % values.len().max(1);
    values.get(at).copied().unwrap_or(0)
}

/// Heads of all kinds, right in most fields so that many get far; every frame ends in some counter.
fn garbage() -> Outcome {
    let port = port()?;
    let from = other(&port);
    let bytes = frame(&port, from, 9000)?;
    port.piece(from, &[]);
    port.piece(from, &[0xff; NetFrame::SIZE - 1]);
    for round in 0..20_000u32 {
        let random = system::random_u64();
        let pick = |shift: u32, below: u64| (random >> shift) % below;
        let length = 14 + pick(0, 9000) as u32;
        let tail = if pick(5, 8) == 0 {
            pick(7, 9000) as usize
        } else {
            length as usize
        };
        let head = NetFrame {
            frame: pick(50, 2),
            length,
            offset: if pick(8, 8) == 0 { length / 2 } else { 0 },
            queue: pick(11, 9) as u16,
            checksum: pick(14, 4) as u16,
            checksum_start: one_of(&[0, HEADERS, pick(20, 9000) as u16], random >> 16),
            checksum_offset: one_of(&[0, 6, 16, pick(24, 9000) as u16], random >> 18),
            segments: pick(28, 5) as u16,
            segment_size: one_of(&[0, 1460, pick(30, 65536) as u16], random >> 32),
            congestion: pick(36, 2) as u16,
            reserved: u16::from(pick(38, 64) == 0),
        };
        let tail = bytes.get(..tail.min(bytes.len())).ok_or(EINVAL)?;
        bring(&port, from, head, tail)?;
        if round % 1000 == 0 {
            popcorn_kernel::current::cond_resched();
        }
    }
    let mut taken = 0;
    for queue in 0..QUEUES {
        let counters = counters(&port, queue)?;
        taken += counters.rx_not_taken.load(Ordering::Relaxed);
        check!(is(&counters.rx_frames, 0) && is(&counters.relayed, 0));
    }
    let malformed = counters(&port, 0)?.rx_malformed.load(Ordering::Relaxed);
    check!(taken > 100 && malformed > 100);
    Ok(())
}

fn routes() -> Outcome {
    let port = port()?;
    let from = other(&port);
    let counters = counters(&port, 1)?;
    let head = Offload::NONE.head(1, 60, 1);
    let third = NodeId::new(NODE_MAX as u64 - 1).ok_or(EINVAL)?;
    let mut bytes = frame(&port, from, 60)?;
    bring(&port, from, head, &bytes)?;
    check!(is(&counters.rx_not_taken, 1));
    // In the name of a third.
    for (to, byte) in bytes.iter_mut().skip(6).zip(address_of(third)) {
        *to = byte;
    }
    bring(&port, from, head, &bytes)?;
    check!(is(&counters.rx_forged, 1) && is(&counters.rx_not_taken, 1));
    // To a third, who is not there; only the primary would send it on.
    let mut bytes = frame(&port, from, 60)?;
    for (to, byte) in bytes.iter_mut().zip(address_of(third)) {
        *to = byte;
    }
    bring(&port, from, head, &bytes)?;
    let nobody = u64::from(port.own() == NodeId::PRIMARY);
    check!(is(&counters.rx_nobody, nobody) && is(&counters.rx_not_taken, 2 - nobody));
    Ok(())
}

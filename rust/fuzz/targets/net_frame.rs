// SPDX-License-Identifier: GPL-2.0
//! Frames of the virtual network: heads that a peer made up, pieces in any order, and where a frame goes.
//!
//! A head is accepted if and only if Linux itself could have made such a packet; it is the same again as its sender
//! would write it. A receiver that believes an assembly writes each byte of a frame once, in order, and never more
//! than the frame has. No frame goes back to whom it came from, to this node, or to one that is not there.

use super::Target;
use crate::source::Source;

use popcorn_core::ids::NodeId;
use popcorn_core::net_frame::Assembly;
use popcorn_core::net_frame::Checksum;
use popcorn_core::net_frame::Offload;
use popcorn_core::net_frame::Piece;
use popcorn_core::net_frame::Place;
use popcorn_core::net_frame::Segments;
use popcorn_core::net_frame::FRAME_MAX;
use popcorn_core::net_frame::PIECE_MAX;
use popcorn_core::net_frame::QUEUES_MAX;
use popcorn_core::net_route;
use popcorn_core::net_route::address_of;
use popcorn_core::net_route::Forged;
use popcorn_core::net_route::NodeSet;
use popcorn_core::proto::NetFrame;
use popcorn_core::proto::NetSegments;
use popcorn_core::wire::Wire;

pub(super) const TARGET: Target = Target {
    name: "net_frame",
    about: "frames of the virtual network, their pieces and their ways",
    most: 512,
    seeds,
    run,
};

/// Bytes of a decision where a frame goes.
const ROUTE: usize = 16;
/// Few, so that they meet.
const NODES: [u64; 4] = [0, 1, 2, 63];

fn seeds() -> Vec<Vec<u8>> {
    let cut = |kind, size, start, offset, congestion| Offload {
        checksum: Checksum::Missing { start, offset },
        segments: Some(Segments {
            kind,
            size,
            congestion,
        }),
    };
    let offloads = [
        Offload::NONE,
        Offload {
            checksum: Checksum::Right,
            segments: None,
        },
        Offload {
            checksum: Checksum::Missing {
                start: 4096,
                offset: 64,
            },
            segments: None,
        },
        cut(NetSegments::Tcp4, 1460, 34, 16, true),
        cut(NetSegments::Tcp6, 8, 54, 16, false),
        cut(NetSegments::Udp, 511, 34, 6, false),
    ];
    let message = |head: NetFrame, how: u8| {
        let mut bytes = vec![0; NetFrame::SIZE];
        head.encode(&mut bytes).unwrap();
        // Its tail: as much as there is, or the most that goes into a message.
        bytes.extend([how, 0, 0]);
        bytes
    };
    let mut seeds = Vec::new();
    for (n, offload) in offloads.into_iter().enumerate() {
        let head = offload.head(n as u64, 65_000, n as u16);
        let next = NetFrame {
            offset: PIECE_MAX as u32,
            ..head
        };
        let last = NetFrame {
            offset: 2 * next.offset,
            ..head
        };
        let pieces = [message(head, 1), message(next, 1), message(last, 0)];
        let mut seed = vec![n as u8; ROUTE];
        seed.extend(pieces.concat());
        seeds.push(seed.clone());
        seed.extend(message(offload.head(9, 60, 7), 0));
        seeds.push(seed);
    }
    seeds
}

/// The rules for a head with so many bytes behind it, once more and in another way.
fn is_good(head: &NetFrame, bytes: u64) -> bool {
    let (length, start) = (i64::from(head.length), i64::from(head.checksum_start));
    let is_missing = head.checksum == 2;
    let checksum = match head.checksum {
        0 | 1 => head.checksum_start == 0 && head.checksum_offset == 0,
        2 => {
            (34..=4096).contains(&start)
                && head.checksum_offset <= 64
                && start + i64::from(head.checksum_offset) + 2 <= length
        }
        _ => false,
    };
    // Where the transport header begins at least, its length, where its checksum is.
    let transport = match head.segments {
        1 => Some((34, 20, 16)),
        2 => Some((54, 20, 16)),
        3 => Some((34, 8, 6)),
        _ => None,
    };
    let size = i64::from(head.segment_size);
    let segments = match transport {
        None => head.segments == 0 && size == 0 && head.congestion == 0,
        Some((least, header, sum_at)) => {
            let payload = length - start - header;
            let is_sound = match head.segments {
                3 => size > 0 && payload <= 128 * size && head.congestion == 0,
                _ => size >= 8 && head.congestion <= 1,
            };
            is_missing
                && start >= least
                && i64::from(head.checksum_offset) == sum_at
                && payload >= 0
                && size != 0xffff
                && is_sound
        }
    };
    (14..=65_535 + 14 + 8).contains(&length)
        && bytes > 0
        && u128::from(head.offset) + u128::from(bytes) <= length as u128
        && head.queue < 8
        && head.reserved == 0
        && checksum
        && segments
}

/// What a receiver has of a queue's frame.
struct Begun {
    head: NetFrame,
    have: u32,
}

/// One queue: the assembly, and what it should know.
#[derive(Default)]
struct Queue {
    assembly: Assembly,
    begun: Option<Begun>,
}

impl Queue {
    fn take(&mut self, head: NetFrame, bytes: u32, piece: &Piece) {
        let begun = self.begun.take();
        let is_next = begun.as_ref().is_some_and(|begun| {
            let offset = begun.have;
            head == NetFrame {
                offset,
                ..begun.head
            }
        });
        let have = head.offset + bytes;
        let is_whole = have == head.length;
        let expected = match (is_next, head.offset) {
            (true, _) if is_whole => Place::Last,
            (true, _) => Place::Next,
            (false, 0) if is_whole => Place::Whole,
            (false, 0) => Place::First,
            (false, _) => Place::Stray,
        };
        let placed = self.assembly.place(piece);
        assert_eq!(placed.place, expected);
        assert_eq!(placed.torn, begun.is_some() && !is_next);
        if matches!(expected, Place::First | Place::Next) {
            assert!(have < head.length && head.length <= FRAME_MAX);
            self.begun = Some(Begun { head, have });
        }
        assert_eq!(self.assembly.has_begun(), self.begun.is_some());
    }

    fn forget(&mut self) {
        self.assembly.forget();
        self.begun = None;
        assert!(!self.assembly.has_begun());
    }
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    route(&mut source);
    let mut queues: [Queue; QUEUES_MAX] = Default::default();
    while !source.is_empty() {
        let mut bytes = [0; NetFrame::SIZE];
        let given = source.take(NetFrame::SIZE);
        bytes[..given.len()].copy_from_slice(given);
        let head = NetFrame::decode(&bytes).unwrap();
        let rest = u64::from(head.length.saturating_sub(head.offset));
        let tail = match source.byte() % 8 {
            0 | 3 => rest,
            1 | 4 => rest.min(PIECE_MAX as u64),
            2 => u64::from(source.byte()),
            5 => rest.wrapping_add(u64::from(source.byte())),
            6 => source.word(),
            _ => rest / 2,
        };
        let piece = Piece::new(head, tail as usize);
        assert_eq!(piece.is_ok(), is_good(&head, tail), "{piece:?}");
        let Ok(piece) = piece else {
            continue;
        };
        assert_eq!((piece.length(), piece.offset()), (head.length, head.offset));
        let offload = piece.offload();
        assert_eq!(offload.check(head.length), Ok(()));
        let again = offload.head(head.frame, head.length, head.queue);
        assert_eq!(again, NetFrame { offset: 0, ..head });
        let queue = &mut queues[piece.queue()];
        queue.take(head, tail as u32, &piece);
        // Now and then there is no memory for it.
        if source.byte() % 16 == 15 {
            queue.forget();
        }
    }
}

/// Where a frame goes: of this node's own, and one that came.
fn route(source: &mut Source<'_>) {
    let mut bytes = Source::new(source.take(ROUTE));
    let node = |at: u8| NodeId::new(NODES[usize::from(at) % NODES.len()]).unwrap();
    let (own, from) = (node(bytes.byte()), node(bytes.byte()));
    let mut address = || {
        let mut address = address_of(node(bytes.byte()));
        let change = bytes.byte();
        match change {
            0..=127 => {}
            // That of no node, or of many.
            128..=159 => address[5] = 64 + change,
            160..=191 => address[0] |= 1,
            _ => address[usize::from(change) % 6] ^= 1 << (change % 8),
        }
        address
    };
    let (to, source) = (address(), address());
    let there = bytes.raw();
    let online = NODES.map(|id| NodeId::new(id).unwrap()).into_iter();
    let online = online.filter(|node| (there >> (node.get() % 8)) & 1 != 0);
    let online = online.fold(NodeSet::EMPTY, NodeSet::with);
    let is_one = |address: &[u8; 6], node: NodeId| *address == address_of(node);
    let is_many = to[0] & 1 != 0;

    let sent = net_route::sent(own, &to, online);
    assert!(sent.and(online) == sent && !sent.contains(own));
    if let Some(node) = online.without(own).iter().find(|node| is_one(&to, *node)) {
        assert_eq!(sent, NodeSet::one(node));
    }
    // A secondary says each thing once; the primary relays it.
    let has_primary = online.contains(NodeId::PRIMARY);
    assert!(own == NodeId::PRIMARY || !has_primary || sent.len() <= 1);
    if own == NodeId::PRIMARY && is_many {
        assert_eq!(sent, online.without(own));
    }

    let speaker = NodeId::all().find(|node| is_one(&source, *node));
    let is_forged = speaker.is_some_and(|node| {
        let may_relay = from == NodeId::PRIMARY && node != own;
        node != from && !may_relay
    });
    let received = net_route::received(own, from, &to, &source, online);
    if is_forged {
        assert_eq!(received, Err(Forged));
        return;
    }
    let received = received.unwrap();
    let relay = received.relay;
    assert!(relay.and(online) == relay && !relay.contains(own) && !relay.contains(from));
    let meant = NodeId::all().find(|node| is_one(&to, *node));
    if own == NodeId::PRIMARY {
        assert_eq!(received.up, meant.is_none_or(|node| node == own));
        let others = online.without(own).without(from);
        let expected = match meant {
            Some(node) => NodeSet::one(node).and(others),
            None if is_many => others,
            None => NodeSet::EMPTY,
        };
        assert_eq!(relay, expected.without(own));
    } else {
        assert!(received.up && relay.is_empty());
    }
}

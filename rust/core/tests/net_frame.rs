// SPDX-License-Identifier: GPL-2.0
//! Frames in pieces: what comes whole is what was sent, and a head of a peer's making never says more than Linux
//! would.

#![cfg(not(loom))]

use popcorn_core::net_frame::Assembly;
use popcorn_core::net_frame::Checksum;
use popcorn_core::net_frame::FrameError;
use popcorn_core::net_frame::Offload;
use popcorn_core::net_frame::Piece;
use popcorn_core::net_frame::Place;
use popcorn_core::net_frame::Segments;
use popcorn_core::net_frame::FRAME_MAX;
use popcorn_core::net_frame::FRAME_MIN;
use popcorn_core::net_frame::PIECE_MAX;
use popcorn_core::net_frame::QUEUES_MAX;
use popcorn_core::proto::NetFrame;
use popcorn_core::proto::NetSegments;
use popcorn_core::wire::Wire;
use popcorn_core::wire::PAYLOAD_MAX;
use proptest::prelude::*;

const TCP4: Offload = Offload {
    checksum: Checksum::Missing {
        start: 34,
        offset: 16,
    },
    segments: Some(Segments {
        kind: NetSegments::Tcp4,
        size: 1460,
        congestion: false,
    }),
};

fn with_segments(kind: NetSegments, size: u16, start: u16, offset: u16) -> Offload {
    Offload {
        checksum: Checksum::Missing { start, offset },
        segments: Some(Segments {
            kind,
            size,
            congestion: false,
        }),
    }
}

#[test]
fn what_linux_makes_is_let_through() {
    assert_eq!(TCP4.check(64_000), Ok(()));
    assert_eq!(Offload::NONE.check(FRAME_MIN), Ok(()));
    assert_eq!(
        with_segments(NetSegments::Tcp6, 1440, 54, 16).check(64_000),
        Ok(())
    );
    assert_eq!(
        with_segments(NetSegments::Udp, 500, 34, 6).check(42 + 128 * 500),
        Ok(())
    );
    let missing = |start, offset| Offload {
        checksum: Checksum::Missing { start, offset },
        segments: None,
    };
    assert_eq!(missing(4096, 64).check(4162), Ok(()));
    assert_eq!(missing(34, 6).check(42), Ok(()));
    // A segment's worth or less is bad style, and no harm.
    assert_eq!(TCP4.check(54), Ok(()));
}

#[test]
fn what_it_does_not_make_is_not() {
    let no = Err(FrameError::Segments);
    assert_eq!(TCP4.check(53), no, "no room for the header");
    let tcp = NetSegments::Tcp4;
    assert_eq!(with_segments(tcp, 0, 34, 16).check(9000), no);
    assert_eq!(with_segments(tcp, 7, 34, 16).check(9000), no, "thousands");
    assert_eq!(with_segments(tcp, 0xffff, 34, 16).check(9000), no);
    assert_eq!(with_segments(tcp, 1460, 34, 6).check(9000), no);
    let tcp6 = NetSegments::Tcp6;
    assert_eq!(with_segments(tcp6, 1440, 53, 16).check(9000), no);
    let udp = NetSegments::Udp;
    assert_eq!(with_segments(udp, 500, 34, 6).check(43 + 128 * 500), no);
    assert_eq!(with_segments(udp, 0, 34, 6).check(42), no);
    assert_eq!(with_segments(NetSegments::None, 500, 34, 6).check(900), no);
    for checksum in [Checksum::Unknown, Checksum::Right] {
        let offload = Offload { checksum, ..TCP4 };
        assert_eq!(offload.check(9000), no, "no checksum to be made");
    }
    for (start, offset, length) in [
        (33, 0, 9000),
        (34, 16, 51),
        (u16::MAX, u16::MAX, FRAME_MAX),
        (4097, 16, 9000),
        (34, 65, 9000),
        (3999, 0, 4000),
    ] {
        let offload = Offload {
            checksum: Checksum::Missing { start, offset },
            segments: None,
        };
        assert_eq!(offload.check(length), Err(FrameError::Checksum));
    }
}

#[test]
fn heads_that_make_no_sense() {
    let head = TCP4.head(1, 9000, 0);
    let refused = |head: NetFrame, bytes: usize| Piece::new(head, bytes).unwrap_err();
    assert!(Piece::new(head, 9000).is_ok());
    assert_eq!(refused(head, 0), FrameError::Piece);
    assert_eq!(refused(head, 9001), FrameError::Piece);
    assert_eq!(refused(head, usize::MAX), FrameError::Piece);
    let moved = NetFrame {
        offset: u32::MAX,
        ..head
    };
    assert_eq!(refused(moved, 2), FrameError::Piece);
    for length in [0, FRAME_MIN - 1, FRAME_MAX + 1, u32::MAX] {
        let head = NetFrame { length, ..head };
        assert_eq!(refused(head, 1), FrameError::Length);
    }
    let head_with = |change: fn(&mut NetFrame)| {
        let mut head = head;
        change(&mut head);
        head
    };
    let queue = head_with(|head| head.queue = QUEUES_MAX as u16);
    assert_eq!(refused(queue, 1), FrameError::Queue);
    let reserved = head_with(|head| head.reserved = 1);
    assert_eq!(refused(reserved, 1), FrameError::Reserved);
    let checksum = head_with(|head| head.checksum = 3);
    assert_eq!(refused(checksum, 1), FrameError::Checksum);
    let place = head_with(|head| head.checksum = 1);
    assert_eq!(refused(place, 1), FrameError::Checksum);
    let segments = head_with(|head| head.segments = 4);
    assert_eq!(refused(segments, 1), FrameError::Segments);
    let size = head_with(|head| head.segments = 0);
    assert_eq!(refused(size, 1), FrameError::Segments);
    let congestion = head_with(|head| head.congestion = 2);
    assert_eq!(refused(congestion, 1), FrameError::Segments);
}

#[test]
fn a_piece_fits_into_a_message() {
    let all = PIECE_MAX + NetFrame::SIZE;
    assert!(all <= PAYLOAD_MAX && all.is_power_of_two());
}

fn offload() -> impl Strategy<Value = Offload> {
    let checksum = prop_oneof![
        Just(Checksum::Unknown),
        Just(Checksum::Right),
        (30u16..70, 0u16..20).prop_map(|(start, offset)| Checksum::Missing { start, offset }),
        Just(Checksum::Missing {
            start: 34,
            offset: 16
        }),
    ];
    let kind = prop_oneof![
        Just(NetSegments::Tcp4),
        Just(NetSegments::Tcp6),
        Just(NetSegments::Udp)
    ];
    let segments =
        (kind, any::<u16>(), any::<bool>()).prop_map(|(kind, size, congestion)| Segments {
            kind,
            size,
            congestion,
        });
    (checksum, prop::option::of(segments))
        .prop_map(|(checksum, segments)| Offload { checksum, segments })
}

/// What a receiver does with pieces, with bytes in place of a packet.
#[derive(Default)]
struct Receiver {
    assembly: Assembly,
    frame: Vec<u8>,
    complete: Vec<Vec<u8>>,
    torn: usize,
}

impl Receiver {
    fn take(&mut self, head: NetFrame, tail: &[u8]) {
        let piece = Piece::new(head, tail.len()).unwrap();
        let placed = self.assembly.place(&piece);
        self.torn += usize::from(placed.torn);
        match placed.place {
            Place::Whole => self.complete.push(tail.to_vec()),
            Place::First => self.frame = tail.to_vec(),
            Place::Next | Place::Last => {
                // Without a look at the head: so far it must have got.
                assert_eq!(self.frame.len(), piece.offset() as usize);
                self.frame.extend_from_slice(tail);
                if placed.place == Place::Last {
                    assert_eq!(self.frame.len(), piece.length() as usize);
                    self.complete.push(std::mem::take(&mut self.frame));
                }
            }
            Place::Stray => {}
        }
    }
}

fn frames() -> impl Strategy<Value = Vec<(usize, usize)>> {
    // The length of each, and the length of its pieces.
    prop::collection::vec((FRAME_MIN as usize..400, 1usize..200), 1..8)
}

/// All pieces of these frames; byte I of frame N is known by both.
fn pieces(frames: &[(usize, usize)]) -> Vec<(NetFrame, Vec<u8>)> {
    let mut pieces = Vec::new();
    for (number, &(length, cut)) in frames.iter().enumerate() {
        let head = Offload::NONE.head(number as u64, length as u32, 3);
        for offset in (0..length).step_by(cut) {
            let tail = (offset..length.min(offset + cut)).map(|i| (number * 101 + i) as u8);
            let head = NetFrame {
                offset: offset as u32,
                ..head
            };
            pieces.push((head, tail.collect()));
        }
    }
    pieces
}

fn content(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| (number * 101 + i) as u8).collect()
}

proptest! {
    #[test]
    fn offload_comes_back_or_is_refused(
        offload in offload(),
        length in FRAME_MIN..=FRAME_MAX,
        frame in any::<u64>(),
        queue in 0..QUEUES_MAX as u16,
    ) {
        let head = offload.head(frame, length, queue);
        let mut bytes = [0; NetFrame::SIZE];
        head.encode(&mut bytes).unwrap();
        prop_assert_eq!(NetFrame::decode(&bytes), Ok(head));
        match (offload.check(length), Piece::new(head, 1)) {
            (Ok(()), Ok(piece)) => {
                prop_assert_eq!(piece.offload(), offload);
                prop_assert_eq!(piece.length(), length);
                prop_assert_eq!(piece.queue(), usize::from(queue));
            }
            (Err(a), Err(b)) => prop_assert_eq!(a, b),
            _ => prop_assert!(false, "sender and receiver do not agree"),
        }
    }

    /// Any bytes are refused, or say what the network stack can bear.
    #[test]
    fn any_head(bytes in prop::array::uniform32(any::<u8>()), small in any::<bool>(), tail in 0usize..70_000) {
        let mut bytes = bytes;
        if small {
            // Most fields in their range, that more heads get through.
            for (i, byte) in bytes.iter_mut().enumerate().skip(8) {
                *byte &= match i { 10 | 11 | 13 | 14 | 15 | 17 | 19 | 21 | 23 | 25 | 29 | 30 | 31 => 0, 16 => 7, 18 | 24 => 3, 28 => 1, _ => 63 };
            }
        }
        let head = NetFrame::decode(&bytes).unwrap();
        let Ok(piece) = Piece::new(head, tail) else { return Ok(()); };
        prop_assert!(u64::from(piece.offset()) + tail as u64 <= u64::from(piece.length()));
        prop_assert!((FRAME_MIN..=FRAME_MAX).contains(&piece.length()) && piece.queue() < QUEUES_MAX);
        if let Checksum::Missing { start, offset } = piece.offload().checksum {
            prop_assert!(u32::from(start) + u32::from(offset) + 2 <= piece.length());
        }
        if let Offload { checksum: Checksum::Missing { start, .. }, segments: Some(segments) } = piece.offload() {
            // No frame becomes very many.
            prop_assert!((piece.length() - u32::from(start)) / u32::from(segments.size) <= FRAME_MAX / 8);
        }
    }

    #[test]
    fn all_pieces_make_all_frames(frames in frames()) {
        let mut receiver = Receiver::default();
        for (head, tail) in pieces(&frames) {
            receiver.take(head, &tail);
        }
        let sent: Vec<_> = frames.iter().enumerate().map(|(n, &(length, _))| content(n, length)).collect();
        prop_assert_eq!(receiver.complete, sent);
        prop_assert_eq!(receiver.torn, 0);
        prop_assert!(!receiver.assembly.has_begun());
    }

    /// What is lost costs the frames that it was of.
    #[test]
    fn lost_pieces_cost_their_frames(frames in frames(), lost in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut there: Vec<_> = pieces(&frames).into_iter().map(Some).collect();
        let mut whole = vec![true; frames.len()];
        for index in &lost {
            if let Some((head, _)) = index.get_mut(&mut there).take() {
                whole[head.frame as usize] = false;
            }
        }
        let mut receiver = Receiver::default();
        for (head, tail) in there.iter().flatten() {
            receiver.take(*head, tail);
        }
        let kept: Vec<_> = frames
            .iter()
            .enumerate()
            .filter(|(n, _)| whole[*n])
            .map(|(n, &(length, _))| content(n, length))
            .collect();
        prop_assert_eq!(receiver.complete, kept);
    }

    /// Pieces in any order, any number of times, with heads that contradict each other: what is complete is as
    /// long as its head says, and each of its bytes is where a piece had it.
    #[test]
    fn pieces_in_disorder(
        frames in frames(),
        order in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..64),
    ) {
        let all = pieces(&frames);
        let mut receiver = Receiver::default();
        for (index, change) in order {
            let (mut head, tail) = index.get(&all).clone();
            match change {
                0 => head.frame ^= 1,
                1 => head.length += 1,
                2 => head.queue ^= 1,
                _ => {}
            }
            receiver.take(head, &tail);
        }
        for frame in &receiver.complete {
            let first = frame[0];
            for (i, &byte) in frame.iter().enumerate() {
                prop_assert_eq!(byte, first.wrapping_add(i as u8));
            }
        }
    }
}

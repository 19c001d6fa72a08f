// SPDX-License-Identifier: GPL-2.0
//! The zone of a terminal, of which the other side may make anything at any time: both ends stay in it, in a
//! bounded number of accesses, and each writes only what is its own.

use super::Target;
use crate::memory::Access;
use crate::memory::Hostile;
use crate::source::Source;

use popcorn_core::terminal::AttachError;
use popcorn_core::terminal::FarEnd;
use popcorn_core::terminal::NearEnd;
use popcorn_core::terminal::WindowSize;
use popcorn_core::terminal::ZONE_SIZE;

pub(super) const TARGET: Target = Target {
    name: "terminal",
    about: "the zone of a terminal, from both sides",
    most: 400,
    seeds,
    run,
};

const KEYBOARD: usize = 4 << 10;
const KEYBOARD_DATA: usize = 16 << 10;
const SCREEN: usize = 24 << 10;
const SCREEN_DATA: usize = 32 << 10;
const RING_HEADER: usize = 128;
const ACCESSES_MAX: usize = 5;

fn seeds() -> Vec<Vec<u8>> {
    let seed = |mode: u8| {
        let mut seed = vec![mode, 24, 0, 80, 0, 0, 0, 0, 0, 40];
        seed.extend((0..40u8).map(|n| n * 6));
        for n in 0..40u8 {
            seed.extend([n % 7, 100, n]);
        }
        seed
    };
    vec![seed(0), seed(1), seed(3)]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mode = source.byte();
    let size = WindowSize::from_raw(source.raw());
    assert_eq!(WindowSize::from_raw(size.raw()), size);
    let writer = source.byte();
    let writer = Source::new(source.take(usize::from(writer)));
    let is_honest = writer.is_empty();
    let hot = [0, 8, 64, KEYBOARD, KEYBOARD + 64, SCREEN, SCREEN + 64];
    let memory = Hostile::new(vec![0xa5; ZONE_SIZE], writer, &hot);
    let small = Hostile::new(vec![0; ZONE_SIZE - 8], Source::new(&[]), &[]);
    assert!(NearEnd::prepare(small.clone(), size).is_err());
    assert_eq!(FarEnd::attach(small).err(), Some(AttachError::Size));
    // Nobody has prepared it: it is left alone.
    if is_honest && mode & 2 != 0 {
        let before = memory.bytes();
        assert_eq!(
            FarEnd::attach(memory.clone()).err(),
            Some(AttachError::Mark)
        );
        assert_eq!(memory.bytes(), before);
    }
    let mut near = NearEnd::prepare(memory.clone(), size).unwrap();
    let Ok(mut far) = FarEnd::attach(memory.clone()) else {
        return;
    };
    memory.accesses();
    let mut bytes = vec![0; 600];
    while !source.is_empty() {
        let what = source.below(7);
        let length = source.below(bytes.len());
        let (writes, ring, data) = match what {
            0 => {
                assert!(near.keyboard.push(&bytes[..length]) <= length);
                (true, KEYBOARD, KEYBOARD_DATA)
            }
            1 => {
                assert!(near.screen.pop(&mut bytes[..length]) <= length);
                (false, SCREEN, SCREEN_DATA)
            }
            2 => {
                assert!(far.keyboard.pop(&mut bytes[..length]) <= length);
                (false, KEYBOARD, KEYBOARD_DATA)
            }
            3 => {
                assert!(far.screen.push(&bytes[..length]) <= length);
                (true, SCREEN, SCREEN_DATA)
            }
            4 => {
                near.set_window_size(size);
                far.window.answer();
                near.is_answered();
                far.window.size();
                near.window_size();
                let own = |access: &Access| match access {
                    Access::Load(at, _) => [8, 64].contains(at),
                    Access::Store(at, _) => [8, 64].contains(at),
                    _ => false,
                };
                let accesses = memory.accesses();
                assert!(accesses.len() == 5 && accesses.iter().all(own));
                continue;
            }
            _ => {
                memory.poke(hot[source.below(hot.len())], source.word());
                continue;
            }
        };
        let accesses = memory.accesses();
        assert!(accesses.len() <= ACCESSES_MAX);
        let (own, other) = if writes {
            (ring, ring + 64)
        } else {
            (ring + 64, ring)
        };
        let lies_in = |from: usize, count: usize| {
            let start = ring + RING_HEADER;
            from >= start && from + count <= start + data
        };
        for access in accesses {
            let good = match access {
                Access::Load(at, _) => at == other,
                Access::Store(at, _) => at == own,
                Access::Read(from, count) => !writes && lies_in(from, count),
                Access::Write(from, count) => writes && lies_in(from, count),
            };
            assert!(good, "{access:?}");
        }
    }
}

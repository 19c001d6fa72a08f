// SPDX-License-Identifier: GPL-2.0
//! How one input becomes another.

use crate::random::Random;

/// Most changes to one input.
const CHANGES_MAX: usize = 12;
/// Most bytes that one change puts in or takes out.
const BLOCK_MAX: usize = 64;

/// Values at borders, of which bugs are fond.
const SPECIAL: [u64; 20] = [
    0,
    1,
    2,
    7,
    8,
    15,
    16,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    4095,
    4096,
    0x7fff_ffff,
    0x8000_0000,
    u64::MAX,
];

/// Changes `input` in some places; `other` is another one, to take parts from. It gets at most `most` bytes.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], most: usize, random: &mut Random) {
    // Mostly few: what is close to a good input gets far.
    let changes = 1 + random.below(CHANGES_MAX).min(random.below(CHANGES_MAX));
    for _ in 0..changes {
        change(input, other, random);
    }
    input.truncate(most);
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let length = input.len();
    if length == 0 {
        let count = 1 + random.below(BLOCK_MAX);
        input.extend((0..count).map(|_| random.number() as u8));
        return;
    }
    let at = random.below(length);
    match random.below(11) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.number() as u8,
        2 | 3 => {
            // A special value, or a little more or less, at a width of 1, 2, 4 or 8, in place.
            let width = 1 << random.below(4);
            let field = at - at % width..(at - at % width + width).min(length);
            let mut old = [0; 8];
            old[..field.len()].copy_from_slice(&input[field.clone()]);
            let value = if random.one_in(2) {
                let special = SPECIAL[random.below(SPECIAL.len())];
                match random.below(4) {
                    0 => special.wrapping_neg(),
                    1 => !special,
                    _ => special,
                }
            } else {
                let by = 1 + random.below(16) as u64;
                let old = u64::from_le_bytes(old);
                if random.one_in(2) {
                    old.wrapping_add(by)
                } else {
                    old.wrapping_sub(by)
                }
            };
            let count = field.len();
            input[field].copy_from_slice(&value.to_le_bytes()[..count]);
        }
        4 => {
            let count = 1 + random.below(BLOCK_MAX.min(length - at));
            input.drain(at..at + count);
        }
        5 => {
            let most = if random.one_in(4) { BLOCK_MAX } else { 8 };
            let count = 1 + random.below(most);
            let byte = random.number() as u8;
            let is_one = random.one_in(2);
            let mut next = || if is_one { byte } else { random.number() as u8 };
            let new: Vec<u8> = (0..count).map(|_| next()).collect();
            input.splice(at..at, new);
        }
        6 => {
            // Once more, elsewhere: what comes twice, or in another order.
            let count = 1 + random.below(BLOCK_MAX.min(length - at));
            let block = input[at..at + count].to_vec();
            let to = random.below(length + 1);
            input.splice(to..to, block);
        }
        7 => {
            // Over something else.
            let count = 1 + random.below(BLOCK_MAX.min(length - at));
            let to = random.below(length);
            let count = count.min(length - to);
            input.copy_within(at..at + count, to);
        }
        8 => input.truncate(at),
        9 if !other.is_empty() => {
            // A part of the other one, put in or over.
            let from = random.below(other.len());
            let count = 1 + random.below(BLOCK_MAX.min(other.len() - from));
            let part = other[from..from + count].iter().copied();
            let end = if random.one_in(2) {
                (at + count).min(length)
            } else {
                at
            };
            input.splice(at..end, part);
        }
        _ if !other.is_empty() => {
            // The beginning of one, the end of the other.
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len())..]);
        }
        _ => input[at] = input[at].rotate_left(4),
    }
}

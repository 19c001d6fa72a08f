// SPDX-License-Identifier: GPL-2.0

//! Lists of processors and of memory, as a user writes them.

use crate::bootparams::Extent;

/// Why a text is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// It is not written as it must be.
    Syntax,
    /// A number that is too large.
    Range,
    /// Something is listed twice.
    Twice,
    /// More than there is room for.
    TooMany,
}

/// Reads processors as in `1-3,7` into `out`, in the order in which they are written; how many. An empty
/// text is none.
///
/// # Errors
///
/// See [`ListError`].
pub fn cpus(text: &[u8], out: &mut [u32]) -> Result<usize, ListError> {
    let mut count = 0;
    let text = trim(text);
    if text.is_empty() {
        return Ok(0);
    }
    for part in text.split(|&byte| byte == b',') {
        let mut ends = part.splitn(2, |&byte| byte == b'-');
        let first = decimal(trim(ends.next().unwrap_or(&[])))?;
        let last = match ends.next() {
            Some(last) => decimal(trim(last))?,
            None => first,
        };
        let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(last)) else {
            return Err(ListError::Range);
        };
        if last < first {
            return Err(ListError::Syntax);
        }
        for cpu in first..=last {
            if out.iter().take(count).any(|&other| other == cpu) {
                return Err(ListError::Twice);
            }
            *out.get_mut(count).ok_or(ListError::TooMany)? = cpu;
            count += 1;
        }
    }
    Ok(count)
}

/// Some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// So many bytes, wherever.
    Anywhere(u64),
    /// Just this range, which was reserved when the machine booted.
    At(Extent),
}

/// Reads memory as in `512M` or `1G@0x40000000`; the units are those of 1024.
///
/// # Errors
///
/// See [`ListError`].
pub fn memory(text: &[u8]) -> Result<Memory, ListError> {
    let mut parts = trim(text).splitn(2, |&byte| byte == b'@');
    let size = bytes(parts.next().unwrap_or(&[]))?;
    match parts.next() {
        None => Ok(Memory::Anywhere(size)),
        Some(start) => Ok(Memory::At(Extent::new(bytes(start)?, size))),
    }
}

/// Without the white space around it.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\n'] = text {
        text = rest;
    }
    text
}

/// A number of bytes.
fn bytes(text: &[u8]) -> Result<u64, ListError> {
    let (digits, shift) = match text.split_last() {
        Some((b'k' | b'K', digits)) => (digits, 10),
        Some((b'm' | b'M', digits)) => (digits, 20),
        Some((b'g' | b'G', digits)) => (digits, 30),
        _ => (text, 0),
    };
    let number = match digits {
        [b'0', b'x' | b'X', hex @ ..] => number(hex, 16)?,
        _ => decimal(digits)?,
    };
    number.checked_mul(1 << shift).ok_or(ListError::Range)
}

fn decimal(digits: &[u8]) -> Result<u64, ListError> {
    number(digits, 10)
}

fn number(digits: &[u8], radix: u32) -> Result<u64, ListError> {
    if digits.is_empty() {
        return Err(ListError::Syntax);
    }
    digits.iter().try_fold(0u64, |sum, &byte| {
        let digit = char::from(byte).to_digit(radix).ok_or(ListError::Syntax)?;
        sum.checked_mul(radix.into())
            .and_then(|sum| sum.checked_add(digit.into()))
            .ok_or(ListError::Range)
    })
}

// SPDX-License-Identifier: GPL-2.0
//! The wire format: a 64-byte header, then a payload whose fixed part the message type names.
//!
//! Little-endian, no padding that is not declared, every field of a header checked on arrival. A
//! message type is declared with [`wire_message!`](crate::wire_message); what varies in length (page
//! data, extended state) follows the fixed part, as its *tail*. What a declaration says beyond that of the
//! fixed part: [`message`](crate::message).
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic |
//! | 4..6 | version |
//! | 6..8 | type |
//! | 8 | class |
//! | 9 | flags |
//! | 10..12 | source node |
//! | 12..14 | destination node |
//! | 14..16 | zero |
//! | 16..20 | payload length |
//! | 20..24 | status (responses: 0 or a negative errno) |
//! | 24..32 | sequence number, per direction and ring |
//! | 32..40 | request id |
//! | 40..48 | incarnation of the source |
//! | 48..64 | zero |

use crate::ids::Class;
use crate::ids::Incarnation;
use crate::ids::NodeId;

/// Marks the begin of each header: "POPC".
pub const MAGIC: u32 = u32::from_le_bytes(*b"POPC");
/// Raised whenever a header or a message changes its meaning.
pub const VERSION: u16 = 1;
/// Bytes of a header.
pub const HEADER_SIZE: usize = 64;
/// The longest payload, in bytes: header and payload fit into one ring record.
pub const PAYLOAD_MAX: usize = crate::ring::RECORD_MAX - HEADER_SIZE;

/// [`Header::flags`]: do not wait for a batch, ring the doorbell at once. Reserved: nothing is
/// batched, so nobody sends or reads it.
pub const FLAG_PUSH: u8 = 1;
const FLAGS_KNOWN: u8 = FLAG_PUSH;

/// What can be wrong with bytes that should be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Not our magic number.
    Magic,
    /// Another version of the format.
    Version(u16),
    /// The length is not that of the type, or more than fits the buffer given or a payload.
    Length,
    /// A value that no sender may use; the field's name.
    Field(&'static str),
}

/// The decoded header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Message type; its meaning is that of the service that declared it.
    pub kind: u16,
    /// One-way, request or response.
    pub class: Class,
    /// `FLAG_*`.
    pub flags: u8,
    /// Who sends.
    pub source: NodeId,
    /// Who is meant.
    pub destination: NodeId,
    /// Bytes of payload after the header, at most [`PAYLOAD_MAX`].
    pub length: u32,
    /// Responses: 0 or a negative errno. Else 0.
    pub status: i32,
    /// Counts the messages of one ring: requests and responses of a direction have one each.
    pub sequence: u64,
    /// [`RequestId`](crate::ids::RequestId) of a request or response; 0 for one-way messages.
    pub request: u64,
    /// The sender's life.
    pub incarnation: Incarnation,
}

/// The most negative errno that a status may carry.
const MAX_ERRNO: i32 = 4095;

impl Header {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut out = [0; HEADER_SIZE];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6..8].copy_from_slice(&self.kind.to_le_bytes());
        out[8] = self.class.get();
        out[9] = self.flags;
        out[10..12].copy_from_slice(&self.source.get().to_le_bytes());
        out[12..14].copy_from_slice(&self.destination.get().to_le_bytes());
        out[16..20].copy_from_slice(&self.length.to_le_bytes());
        out[20..24].copy_from_slice(&self.status.to_le_bytes());
        out[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        out[32..40].copy_from_slice(&self.request.to_le_bytes());
        out[40..48].copy_from_slice(&self.incarnation.get().to_le_bytes());
        out
    }

    /// From bytes that a peer wrote.
    ///
    /// # Errors
    ///
    /// Every field is checked; what comes back can be encoded to the same bytes again.
    pub fn decode(bytes: &[u8; HEADER_SIZE]) -> Result<Self, WireError> {
        if u32::from_field(&bytes[0..4]) != MAGIC {
            return Err(WireError::Magic);
        }
        let version = u16::from_field(&bytes[4..6]);
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let node = |range: &[u8], name| {
            NodeId::new(u64::from(u16::from_field(range))).ok_or(WireError::Field(name))
        };
        let header = Header {
            kind: u16::from_field(&bytes[6..8]),
            class: Class::new(bytes[8]).ok_or(WireError::Field("class"))?,
            flags: bytes[9],
            source: node(&bytes[10..12], "source")?,
            destination: node(&bytes[12..14], "destination")?,
            length: u32::from_field(&bytes[16..20]),
            status: i32::from_field(&bytes[20..24]),
            sequence: u64::from_field(&bytes[24..32]),
            request: u64::from_field(&bytes[32..40]),
            incarnation: Incarnation::new(u64::from_field(&bytes[40..48]))
                .ok_or(WireError::Field("incarnation"))?,
        };
        if header.flags & !FLAGS_KNOWN != 0 {
            return Err(WireError::Field("flags"));
        }
        if bytes[14..16].iter().chain(&bytes[48..64]).any(|&b| b != 0) {
            return Err(WireError::Field("reserved"));
        }
        if header.length as usize > PAYLOAD_MAX {
            return Err(WireError::Length);
        }
        if (header.class == Class::OneWay) != (header.request == 0) {
            return Err(WireError::Field("request"));
        }
        let status_fits = match header.class {
            Class::Response => (-MAX_ERRNO..=0).contains(&header.status),
            _ => header.status == 0,
        };
        if !status_fits {
            return Err(WireError::Field("status"));
        }
        Ok(header)
    }
}

/// A value with a fixed little-endian form.
pub trait Field: Sized {
    /// Bytes that it takes.
    const SIZE: usize;
    /// Writes it to `out`, which has exactly [`Field::SIZE`] bytes.
    fn to_field(&self, out: &mut [u8]);
    /// Reads it from `bytes`, which has exactly [`Field::SIZE`] bytes.
    fn from_field(bytes: &[u8]) -> Self;
}

macro_rules! integer_fields {
    ($($int:ty),*) => {$(
        impl Field for $int {
            const SIZE: usize = core::mem::size_of::<$int>();
            fn to_field(&self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_le_bytes());
            }
            fn from_field(bytes: &[u8]) -> Self {
                let mut raw = [0; core::mem::size_of::<$int>()];
                raw.copy_from_slice(bytes);
                Self::from_le_bytes(raw)
            }
        }
    )*};
}
integer_fields!(u8, u16, u32, u64, i32, i64);

macro_rules! array_fields {
    ($($int:ty),*) => {$(
        impl<const N: usize> Field for [$int; N] {
            const SIZE: usize = N * <$int>::SIZE;
            fn to_field(&self, out: &mut [u8]) {
                for (value, part) in self.iter().zip(out.chunks_exact_mut(<$int>::SIZE)) {
                    value.to_field(part);
                }
            }
            fn from_field(bytes: &[u8]) -> Self {
                let mut parts = bytes.chunks_exact(<$int>::SIZE);
                // `bytes` has SIZE bytes, so there is a chunk for each element.
                core::array::from_fn(|_| parts.next().map_or(0, <$int>::from_field))
            }
        }
    )*};
}
array_fields!(u8, u64);

/// A message type: a fixed part, which is the whole payload unless a tail follows it.
pub trait Wire: Sized {
    /// The type in the header.
    const TYPE: u16;
    /// Bytes of the fixed part.
    const SIZE: usize;

    /// Writes the fixed part to the begin of `out`; returns [`Wire::SIZE`].
    ///
    /// # Errors
    ///
    /// [`WireError::Length`] if `out` is shorter than that.
    fn encode(&self, out: &mut [u8]) -> Result<usize, WireError>;

    /// Reads a payload without a tail.
    ///
    /// # Errors
    ///
    /// [`WireError::Length`] unless `bytes` has exactly [`Wire::SIZE`] bytes.
    fn decode(bytes: &[u8]) -> Result<Self, WireError>;

    /// Splits a payload into the fixed part and a tail, which may be empty. Whoever does not use
    /// the tail accepts any.
    ///
    /// # Errors
    ///
    /// [`WireError::Length`] if `bytes` is shorter than the fixed part.
    fn decode_prefix(bytes: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let fixed = bytes.get(..Self::SIZE).ok_or(WireError::Length)?;
        Ok((Self::decode(fixed)?, &bytes[Self::SIZE..]))
    }
}

/// Declares a message: a struct with public fields, and its [`Wire`] form, fields in order with
/// nothing between them.
///
/// Field types: `u8 u16 u32 u64 i32 i64 [u8; N] [u64; N]`.
///
/// What a header can name also has a class, behind its type, and then is a
/// [`Message`](crate::message::Message); without one this is a codec only.
///
/// * `one_way`; or `request`, answered by nothing but a status; or `request -> Answer`; or `response`.
/// * `urgent`: handled where it is received, if that can be. Else it is queued for a worker.
/// * `tail MIN..=MAX`: so many bytes follow the fields. Else none do. `MAX` is a number, a constant, or something in
///   parentheses.
///
/// ```
/// const PAGE: usize = 4096;
/// popcorn_core::wire_message! {
///     /// Asks for a page.
///     pub struct PageRequest = 0x0301, request -> Page, urgent {
///         /// The process.
///         process: u64,
///         /// The page's address there.
///         address: u64,
///     }
///     /// A page, or nothing.
///     pub struct Page = 0x0381, response, tail 0..=PAGE {}
/// }
/// use popcorn_core::message::Message;
/// use popcorn_core::wire::Wire;
/// let mut bytes = [0; PageRequest::SIZE];
/// PageRequest { process: 7, address: 0x1000 }.encode(&mut bytes)?;
/// assert_eq!(PageRequest::decode(&bytes)?.address, 0x1000);
/// assert!(PageRequest::decode(&bytes[1..]).is_err());
/// assert!(PageRequest::DECLARED.is_urgent());
/// assert_eq!(Page::DECLARED.longest(), PAGE);
/// # Ok::<(), popcorn_core::wire::WireError>(())
/// ```
///
/// An answer is declared as one, and a message fits into a payload:
///
/// ```compile_fail,E0277
/// popcorn_core::wire_message! {
///     /// A question.
///     pub struct Question = 0x0301, request -> Statement {}
///     /// No answer.
///     pub struct Statement = 0x0302, one_way {}
/// }
/// ```
///
/// ```compile_fail,E0080
/// popcorn_core::wire_message! {
///     /// Too much.
///     pub struct Much = 0x0301, one_way, tail 0..=65536 {
///         /// By these.
///         more: u64,
///     }
/// }
/// ```
#[macro_export]
macro_rules! wire_message {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident = $kind:literal
        $( , $class:ident $( -> $answer:ident )?
            $( , $word:ident $( $min:literal ..= $max:tt )? )* )?
        {
            $( $(#[$field_meta:meta])* $field:ident : $ty:ty ),* $(,)?
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis struct $name {
            $( $(#[$field_meta])* pub $field: $ty ),*
        }

        impl $crate::wire::Wire for $name {
            const TYPE: u16 = $kind;
            const SIZE: usize = 0 $( + <$ty as $crate::wire::Field>::SIZE )*;

            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn encode(&self, out: &mut [u8]) -> Result<usize, $crate::wire::WireError> {
                let out = out.get_mut(..Self::SIZE).ok_or($crate::wire::WireError::Length)?;
                let mut at = 0;
                $(
                    let end = at + <$ty as $crate::wire::Field>::SIZE;
                    $crate::wire::Field::to_field(&self.$field, &mut out[at..end]);
                    at = end;
                )*
                Ok(Self::SIZE)
            }

            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn decode(bytes: &[u8]) -> Result<Self, $crate::wire::WireError> {
                if bytes.len() != Self::SIZE {
                    return Err($crate::wire::WireError::Length);
                }
                let mut at = 0;
                $(
                    let end = at + <$ty as $crate::wire::Field>::SIZE;
                    let $field = <$ty as $crate::wire::Field>::from_field(&bytes[at..end]);
                    at = end;
                )*
                Ok(Self { $($field),* })
            }
        }

        const _: () = assert!(
            <$name as $crate::wire::Wire>::SIZE <= $crate::wire::PAYLOAD_MAX,
            "the message does not fit into one record"
        );

        $( $crate::declared_message! {
            $name $class $( -> $answer )?; $( .$word( $( $min, $max )? ) )*
        } )?
    )+};
}

// SPDX-License-Identifier: GPL-2.0
//! A connection: frames in and out of a socket. It belongs to one thread.

use super::end::End;
use super::queue::Packet;
use super::queue::Payload;
use crate::dispatch::Fault;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::ops::Range;
use popcorn_core::membership::view::Said;
use popcorn_core::membership::view::SAID_MAX;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::window::Lane;
use popcorn_core::wire::Wire;
use popcorn_core::wire::WireError;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::bytes::zeroed;
use popcorn_kernel::errno;
use popcorn_kernel::pages::PageBuffer;
use popcorn_kernel::socket::Options;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::time;
use popcorn_kernel::tls::RECORDS_MAX;

/// Bytes that are read ahead.
const AHEAD: usize = 16 << 10;
/// What is left of a payload is read into its place when it is at least that long.
const DIRECT: usize = 4 << 10;
/// Packets that are sent at once.
const BATCH: usize = 8;
/// Bytes before a payload.
const FRONT: usize = HEAD_SIZE + HEADER_SIZE;
/// How often is sent on one connection. What is sent at once may be many records of TLS: `BATCH` of the
/// longest messages are 33.
const SENDS_MAX: u64 = RECORDS_MAX / 40;
/// The longest frame that is no message.
const SMALL_MAX: usize = HEAD_SIZE + SAID_MAX;
const _: () = assert!(Hello::SIZE <= SAID_MAX);

/// Why a connection is no more.
pub(super) enum Broken {
    /// The network, or the other side closed it: another may follow.
    Lost(Error),
    /// The peer sent what it must not.
    Fault(&'static str),
}

impl From<Fault> for Broken {
    fn from(Fault(what): Fault) -> Self {
        Broken::Fault(what)
    }
}

/// What has come.
pub(super) enum Body {
    /// A message: its header, unchecked, and its payload, or that there was no memory for it.
    Message(Lane, [u8; HEADER_SIZE], Result<KVVec<u8>>),
    Hello(Hello),
    Beat,
    Goodbye(Goodbye),
    View(KBox<Said>),
}

/// Where in a frame the reader is.
enum Reading {
    Head,
    /// Behind the head of a frame that is no message.
    Small(Head),
    /// Behind the head of a message.
    Header(Head, Lane),
    /// In its payload: so many bytes of it are there.
    Payload {
        head: Head,
        lane: Lane,
        header: [u8; HEADER_SIZE],
        payload: Result<KVVec<u8>>,
        have: usize,
    },
}

/// What a peer says of the members. Without memory for that it is a heartbeat like any other.
fn view(bytes: &[u8]) -> Option<Body> {
    let said = Said::decode(bytes).ok()?;
    Some(KBox::new(said, GFP_KERNEL).map_or(Body::Beat, Body::View))
}

/// Bytes that were read ahead.
struct Ahead {
    bytes: KVVec<u8>,
    begin: usize,
    end: usize,
}

impl Ahead {
    fn len(&self) -> usize {
        self.end - self.begin
    }

    /// Takes exactly `N` bytes, if they are there.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes.get(self.begin..self.begin + N)?;
        if self.len() < N {
            return None;
        }
        let taken = bytes.try_into().ok()?;
        self.begin += N;
        Some(taken)
    }

    /// Takes exactly so many bytes, if they are there.
    fn take_all(&mut self, length: usize) -> Option<&[u8]> {
        if self.len() < length {
            return None;
        }
        let begin = self.begin;
        self.begin += length;
        self.bytes.get(begin..self.begin)
    }

    /// Takes what fits into `room`; how much.
    fn take_some(&mut self, room: &mut [u8]) -> usize {
        let number = self.len().min(room.len());
        if let Some(bytes) = self.bytes.get(self.begin..self.begin + number) {
            room[..number].copy_from_slice(bytes);
            self.begin += number;
        }
        number
    }

    /// Passes over some; how much.
    fn skip(&mut self, number: usize) -> usize {
        let number = self.len().min(number);
        self.begin += number;
        number
    }

    /// Reads more from the socket, without waiting.
    fn fill(&mut self, socket: &Socket) -> Result<usize> {
        if self.begin == self.end {
            self.begin = 0;
            self.end = 0;
        } else if self.begin > AHEAD / 2 {
            self.bytes.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        let room = self.bytes.get_mut(self.end..).unwrap_or(&mut []);
        let number = socket.receive_now(room)?;
        self.end += number;
        Ok(number)
    }
}

/// Packets that are being sent.
struct Batch {
    fronts: [[u8; FRONT]; BATCH],
    packets: [Option<(Lane, u64, Arc<Packet>)>; BATCH],
    /// A frame that is no message, sent before them.
    small: [u8; SMALL_MAX],
    small_length: usize,
    count: usize,
    /// Bytes of all that, and how many of them the socket has taken.
    total: usize,
    done: usize,
}

/// See the module.
pub(super) struct Connection {
    socket: Socket,
    reading: Reading,
    ahead: Ahead,
    batch: KBox<Batch>,
    /// How often something was sent: with TLS a record or a few.
    sends: u64,
    /// See [`Connection::owes`].
    owes: bool,
}

impl Connection {
    /// Frames over `socket`. May sleep.
    pub(super) fn new(socket: Socket) -> Result<Self> {
        let bytes = zeroed(AHEAD, GFP_KERNEL)?;
        let batch = Batch {
            fronts: [[0; FRONT]; BATCH],
            packets: [const { None }; BATCH],
            small: [0; SMALL_MAX],
            small_length: 0,
            count: 0,
            total: 0,
            done: 0,
        };
        Ok(Self {
            socket,
            reading: Reading::Head,
            ahead: Ahead {
                bytes,
                begin: 0,
                end: 0,
            },
            batch: KBox::new(batch, GFP_KERNEL)?,
            sends: 0,
            owes: false,
        })
    }

    /// From now on `end` is signalled when there is something to receive, or room to send. May sleep.
    pub(super) fn wake(&mut self, end: &Arc<End>) {
        self.socket.watch(end.clone());
    }

    /// See [`Socket::set_options`].
    pub(super) fn set_options(&self, options: &Options) -> Result {
        self.socket.set_options(options)
    }

    /// The next frame, if it is there. Does not wait.
    pub(super) fn next(&mut self) -> core::result::Result<Option<(Head, Body)>, Broken> {
        loop {
            if let Some(frame) = self.parse()? {
                return Ok(Some(frame));
            }
            match self.receive() {
                Ok(0) => return Err(Broken::Lost(errno::connection_reset())),
                Ok(_) => {}
                Err(error) if error == EAGAIN => return Ok(None),
                Err(error) => return Err(Broken::Lost(error)),
            }
        }
    }

    /// Reads more: a long payload to its place, all else ahead.
    fn receive(&mut self) -> Result<usize> {
        if let Reading::Payload {
            payload: Ok(payload),
            have,
            ..
        } = &mut self.reading
        {
            if payload.len() - *have >= DIRECT && self.ahead.len() == 0 {
                let room = payload.get_mut(*have..).unwrap_or(&mut []);
                let number = self.socket.receive_now(room)?;
                *have += number;
                return Ok(number);
            }
        }
        self.ahead.fill(&self.socket)
    }

    fn parse(&mut self) -> core::result::Result<Option<(Head, Body)>, Broken> {
        loop {
            match &mut self.reading {
                Reading::Head => {
                    let Some(bytes) = self.ahead.take::<HEAD_SIZE>() else {
                        return Ok(None);
                    };
                    let head = Head::decode(&bytes).map_err(|_| Fault("a frame is malformed"))?;
                    self.reading = match head.frame {
                        Frame::Message(lane) => Reading::Header(head, lane),
                        _ => Reading::Small(head),
                    };
                }
                Reading::Small(head) => {
                    let head = *head;
                    let body = match head.frame {
                        Frame::Hello => self
                            .ahead
                            .take::<{ Hello::SIZE }>()
                            .map(|bytes| Hello::decode(&bytes).map(Body::Hello)),
                        Frame::Beat => self
                            .ahead
                            .take::<{ Beat::SIZE }>()
                            .map(|bytes| Beat::decode(&bytes).map(|_| Body::Beat)),
                        Frame::View => self
                            .ahead
                            .take_all(head.length as usize)
                            .map(|bytes| view(bytes).ok_or(WireError::Field("view"))),
                        _ => self
                            .ahead
                            .take::<{ Goodbye::SIZE }>()
                            .map(|bytes| Goodbye::decode(&bytes).map(Body::Goodbye)),
                    };
                    let Some(body) = body else {
                        return Ok(None);
                    };
                    let body = body.map_err(|_| Fault("a frame is malformed"))?;
                    self.reading = Reading::Head;
                    return Ok(Some((head, body)));
                }
                Reading::Header(head, lane) => {
                    let Some(header) = self.ahead.take::<HEADER_SIZE>() else {
                        return Ok(None);
                    };
                    let length = (head.length as usize).saturating_sub(HEADER_SIZE);
                    self.reading = Reading::Payload {
                        head: *head,
                        lane: *lane,
                        header,
                        payload: zeroed(length, GFP_KERNEL).map_err(Error::from),
                        have: 0,
                    };
                }
                Reading::Payload {
                    head,
                    payload,
                    have,
                    ..
                } => {
                    let length = (head.length as usize).saturating_sub(HEADER_SIZE);
                    *have += match payload {
                        Ok(payload) => self.ahead.take_some(&mut payload[*have..]),
                        Err(_) => self.ahead.skip(length - *have),
                    };
                    if *have < length {
                        return Ok(None);
                    }
                    let whole = core::mem::replace(&mut self.reading, Reading::Head);
                    if let Reading::Payload {
                        head,
                        lane,
                        header,
                        payload,
                        ..
                    } = whole
                    {
                        return Ok(Some((head, Body::Message(lane, header, payload))));
                    }
                }
            }
        }
    }

    /// Whether everything that was given to be sent is with the socket.
    pub(super) fn is_idle(&self) -> bool {
        self.batch.done == self.batch.total
    }

    /// Puts a frame that is no message before all that is not being sent yet. There is room if the
    /// connection [is idle](Self::is_idle).
    fn put_small<T: Wire>(&mut self, frame: Frame, acknowledged: [u64; 2], body: &T) -> Result {
        self.put(frame, acknowledged, |room| {
            body.encode(room).ok().map(|_| T::SIZE)
        })
    }

    fn put(
        &mut self,
        frame: Frame,
        acknowledged: [u64; 2],
        body: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result {
        if !self.is_idle() {
            return Err(EBUSY);
        }
        let batch = &mut *self.batch;
        batch.clear();
        let (first, rest) = batch.small.split_at_mut(HEAD_SIZE);
        let length = body(rest).ok_or(EINVAL)?;
        let head = Head {
            frame,
            length: length as u32,
            acknowledged,
        };
        first.copy_from_slice(&head.encode());
        batch.small_length = HEAD_SIZE + length;
        batch.total = batch.small_length;
        Ok(())
    }

    /// As [`Connection::beat`], with what this machine says of the members.
    pub(super) fn view(&mut self, acknowledged: [u64; 2], said: &Said) -> bool {
        let put = self.put(Frame::View, acknowledged, |room| said.encode(room));
        self.owes = put.is_err();
        !self.owes
    }

    /// Whether a heartbeat or view found no room: there is some before anything else is sent.
    pub(super) fn owes(&self) -> bool {
        self.owes
    }

    /// A heartbeat, if there is room for one now.
    pub(super) fn beat(&mut self, acknowledged: [u64; 2], count: u64) -> bool {
        let put = self.put_small(Frame::Beat, acknowledged, &Beat { count });
        self.owes = put.is_err();
        !self.owes
    }

    /// Sends what there is in `end`, as far as the socket takes it now; whether it took something.
    pub(super) fn send(
        &mut self,
        end: &End,
        acknowledged: [u64; 2],
    ) -> core::result::Result<bool, Broken> {
        let mut sent = false;
        loop {
            if self.is_idle() {
                if self.owes {
                    // Else it would never come on a connection that always has something to send.
                    return Ok(sent);
                }
                self.batch.clear();
                if !self.batch.fill(end, acknowledged) {
                    return Ok(sent);
                }
            }
            if self.sends >= SENDS_MAX {
                // Before the keys are worn; another connection has others.
                return Err(Broken::Lost(errno::stale()));
            }
            match self.batch.push(&self.socket) {
                Ok(_) => {
                    sent = true;
                    self.sends += 1;
                }
                Err(error) if error == EAGAIN => return Ok(sent),
                Err(error) => return Err(Broken::Lost(error)),
            }
        }
    }

    /// Sends a frame that is no message, and waits until the socket has it. May sleep.
    fn send_now<T: Wire>(
        &mut self,
        frame: Frame,
        acknowledged: [u64; 2],
        body: &T,
        timeout_ms: u64,
    ) -> Result {
        let until = time::now_ms() + timeout_ms;
        loop {
            if self.is_idle() {
                self.put_small(frame, acknowledged, body)?;
                break;
            }
            self.push_until(until)?;
        }
        while !self.is_idle() {
            self.push_until(until)?;
        }
        Ok(())
    }

    fn push_until(&mut self, until: u64) -> Result {
        match self.batch.push(&self.socket) {
            Ok(_) => Ok(()),
            Err(error) if error == EAGAIN && time::now_ms() < until => {
                time::sleep_ms(STEP_MS);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Says hello. May sleep.
    pub(super) fn say_hello(&mut self, hello: &Hello, timeout_ms: u64) -> Result {
        self.send_now(Frame::Hello, [0; 2], hello, timeout_ms)
    }

    /// Says why the session ends. May sleep.
    pub(super) fn say_goodbye(&mut self, goodbye: &Goodbye, acknowledged: [u64; 2]) -> Result {
        self.send_now(Frame::Goodbye, acknowledged, goodbye, GOODBYE_MS)
    }

    /// Waits for the first frame of the other side, while `goes_on`. May sleep.
    pub(super) fn hear(
        &mut self,
        timeout_ms: u64,
        goes_on: impl Fn() -> bool,
    ) -> core::result::Result<Body, Broken> {
        let until = time::now_ms() + timeout_ms;
        loop {
            if let Some((_, body)) = self.next()? {
                return Ok(body);
            }
            if time::now_ms() >= until || !goes_on() {
                return Err(Broken::Lost(errno::timed_out()));
            }
            time::sleep_ms(STEP_MS);
        }
    }
}

/// Between two looks, before the thread is woken by what happens to the socket.
const STEP_MS: u32 = 1;
/// For the last frame.
const GOODBYE_MS: u64 = 200;

impl Drop for Connection {
    fn drop(&mut self) {
        self.socket.unwatch();
        self.socket.shut_down();
    }
}

impl Batch {
    fn clear(&mut self) {
        self.packets = [const { None }; BATCH];
        self.small_length = 0;
        self.count = 0;
        self.total = 0;
        self.done = 0;
    }

    /// Takes the next packets of `end`; whether there are some.
    fn fill(&mut self, end: &End, acknowledged: [u64; 2]) -> bool {
        self.count = end.next(&mut self.packets);
        for (front, packet) in self.fronts.iter_mut().zip(self.packets.iter().flatten()) {
            let (lane, sequence, packet) = packet;
            let head = Head {
                frame: Frame::Message(*lane),
                length: packet.length() as u32,
                acknowledged,
            };
            let mut header = packet.header;
            header.sequence = *sequence;
            let (first, rest) = front.split_at_mut(HEAD_SIZE);
            first.copy_from_slice(&head.encode());
            rest.copy_from_slice(&header.encode());
            self.total += HEAD_SIZE + packet.length();
        }
        self.count != 0
    }

    /// What is sent, in order, without what the socket has taken.
    fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let small = self.small.get(..self.small_length).unwrap_or(&[]);
        let packets = self.packets.iter().flatten().take(self.count);
        let rest = self
            .fronts
            .iter()
            .zip(packets)
            .flat_map(|(front, (_, _, packet))| {
                let payload = match &packet.payload {
                    Payload::Bytes(bytes) => Segment::Bytes(bytes),
                    Payload::Pages(pages, length) => Segment::Pages(pages, 0..*length),
                };
                [Segment::Bytes(front), payload]
            });
        let mut skip = self.done;
        Iterator::chain(core::iter::once(Segment::Bytes(small)), rest).filter_map(move |segment| {
            let passed = skip.min(segment.len());
            skip -= passed;
            segment.without(passed)
        })
    }

    /// Gives the socket what is left, up to pages or the end of them, without waiting; how much it took.
    fn push(&mut self, socket: &Socket) -> Result<usize> {
        let mut parts: [&[u8]; 2 * BATCH + 1] = [&[]; 2 * BATCH + 1];
        let mut number = 0;
        let mut pages = None;
        let mut segments = self.segments();
        for segment in segments.by_ref() {
            match segment {
                Segment::Bytes(bytes) => {
                    if let Some(slot) = parts.get_mut(number) {
                        *slot = bytes;
                        number += 1;
                    }
                }
                Segment::Pages(buffer, range) => {
                    pages = Some((buffer, range));
                    break;
                }
            }
        }
        let parts = parts.get(..number).unwrap_or(&[]);
        let sent = match pages {
            Some((buffer, range)) if parts.is_empty() => {
                let more = segments.next().is_some();
                socket.try_send_pages(buffer, range, more)?
            }
            pages => socket.try_send(parts, pages.is_some())?,
        };
        drop(segments);
        self.done += sent;
        Ok(sent)
    }
}

/// A piece of what is sent.
enum Segment<'a> {
    Bytes(&'a [u8]),
    /// The network may refer to these instead of copying them.
    Pages(&'a PageBuffer, Range<usize>),
}

impl Segment<'_> {
    fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::Pages(_, range) => range.len(),
        }
    }

    /// What is left of it, if something is.
    fn without(self, passed: usize) -> Option<Self> {
        if passed == self.len() {
            return None;
        }
        match self {
            Segment::Bytes(bytes) => bytes.get(passed..).map(Segment::Bytes),
            Segment::Pages(pages, range) => {
                Some(Segment::Pages(pages, range.start + passed..range.end))
            }
        }
    }
}

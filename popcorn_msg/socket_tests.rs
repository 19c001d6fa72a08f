// SPDX-License-Identifier: GPL-2.0
//! KUnit: sockets of the kernel (`popcorn_kernel::socket`), over the loopback device.
//!
//! They run in a kernel thread, as those who use sockets do. The suite is in `suite_socket_kunit.c`.

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicI32;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::address::Address;
use popcorn_kernel::check;
use popcorn_kernel::connections;
use popcorn_kernel::connections::Ends;
use popcorn_kernel::connections::Side;
use popcorn_kernel::errno;
use popcorn_kernel::key::KeySerial;
use popcorn_kernel::key::Keyring;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Failure;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::kunit_cases;
use popcorn_kernel::pages;
use popcorn_kernel::pages::PageBuffer;
use popcorn_kernel::socket::Listener;
use popcorn_kernel::socket::Options;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::socket::Watch;
use popcorn_kernel::socket::PARTS_MAX;
use popcorn_kernel::time;
use popcorn_kernel::tls;

/// What is waited for in vain.
const BRIEF_MS: u32 = 60;
/// A thread that has not ended; no errno.
const RUNS: i32 = 1;

kunit_cases! {
    "popcorn_socket", "popcorn_msg/socket_tests.rs";
    popcorn_socket_test_exchange = exchange;
    popcorn_socket_test_options = options;
    popcorn_socket_test_mistakes = mistakes;
    popcorn_socket_test_time_outs = time_outs;
    popcorn_socket_test_full = full;
    popcorn_socket_test_shut_down = shut_down;
    popcorn_socket_test_peer_closes = peer_closes;
    popcorn_socket_test_watch = watch;
    popcorn_socket_test_pages = pages_without_a_copy;
    popcorn_socket_test_tls = tls_without_a_daemon;
}

/// Listens where nobody else does.
fn listener() -> Result<Listener> {
    Listener::new(&Address::loopback(0), 8)
}

fn connect(to: &Listener) -> Result<Socket> {
    Socket::connect(&to.local_address()?, LONG_MS, || false)
}

/// Both ends of a connection: who has connected, who has accepted.
fn pair() -> core::result::Result<(Arc<Socket>, Arc<Socket>), Failure> {
    let listener = listener()?;
    let one = Arc::new(connect(&listener)?, GFP_KERNEL)?;
    let two = listener.accept(LONG_MS)?.ok_or(ENOENT)?;
    Ok((one, Arc::new(two, GFP_KERNEL)?))
}

/// Bytes to be known again.
fn pattern(length: usize) -> Result<KVec<u8>> {
    let mut bytes = KVec::from_elem(0u8, length, GFP_KERNEL)?;
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = (n * 31 + n / 251) as u8;
    }
    Ok(bytes)
}

/// Runs `operation` in a thread of its own; how it ended, as an errno, or [`RUNS`].
fn aside(
    operation: impl FnOnce() -> Result + Send + 'static,
) -> core::result::Result<(Kthread, Arc<AtomicI32>), Failure> {
    let result = Arc::new(AtomicI32::new(RUNS), GFP_KERNEL)?;
    let ended = result.clone();
    let thread = Kthread::spawn(c_str!("popcorn test"), move || {
        let errno = operation().map_or_else(|error| error.to_errno(), |()| 0);
        ended.store(errno, Ordering::SeqCst);
    })?;
    Ok((thread, result))
}

/// Sends until there is no room; how many bytes.
fn fill(socket: &Socket, bytes: &[u8]) -> Result<usize> {
    let mut sent = 0;
    // What is under way makes room again, and so does a receiver that takes a larger window.
    let mut looks = 0;
    while looks < 20 {
        match socket.try_send(&[bytes], false) {
            Ok(count) => {
                sent += count;
                looks = 0;
            }
            Err(error) if error == EAGAIN => {
                time::sleep_ms(20);
                looks += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// What one side sends the other receives, in pieces of all kinds.
fn exchange() -> Outcome {
    let listener = listener()?;
    check!(listener.accept(0)?.is_none());
    let one = connect(&listener)?;
    let two = listener.accept(LONG_MS)?.ok_or(ENOENT)?;
    check!(one.peer_address()? == listener.local_address()?);
    check!(two.peer_address()? == one.local_address()?);
    check!(two.local_address()? == listener.local_address()?);
    one.set_options(&Options::default())?;
    two.set_options(&Options {
        priority: 6,
        ..Options::default()
    })?;
    for length in [1, 7, 64, 4096, 65_000] {
        let bytes = pattern(length)?;
        let mut received = KVec::from_elem(0u8, length, GFP_KERNEL)?;
        let (first, rest) = bytes.split_at(length / 3);
        one.send_all(&[first, &[], rest], LONG_MS)?;
        two.receive_all(&mut received, LONG_MS)?;
        check!(received[..] == bytes[..]);
        two.send_all(&[&bytes], LONG_MS)?;
        one.receive_all(&mut received, LONG_MS)?;
        check!(received[..] == bytes[..]);
    }
    // As many slices as there may be; the last one is told of first.
    let bytes = pattern(PARTS_MAX)?;
    let mut parts: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
    for (part, byte) in parts.iter_mut().zip(bytes.chunks(1)) {
        *part = byte;
    }
    check!(one.try_send(&parts[..PARTS_MAX - 1], true)? == PARTS_MAX - 1);
    check!(one.try_send(&parts[PARTS_MAX - 1..], false)? == 1);
    let mut received = [0u8; PARTS_MAX];
    two.receive_all(&mut received, LONG_MS)?;
    check!(received[..] == bytes[..]);
    check!(two.receive_now(&mut received).err() == Some(EAGAIN));
    Ok(())
}

/// Both ends send at once from the beginning on; what a silent peer is worth is in force when it was said, on the end
/// that it was said to.
fn options() -> Outcome {
    let listener = listener()?;
    let port = listener.local_address()?.port();
    let one = connect(&listener)?;
    let two = listener.accept(LONG_MS)?.ok_or(ENOENT)?;
    let options = Options {
        keep_idle_s: 11,
        keep_interval_s: 7,
        keep_count: 5,
        user_timeout_ms: 12_345,
        priority: 3,
    };
    let have = |side, as_asked| {
        let expected = Ends {
            all: 1,
            at_once: 1,
            as_asked,
        };
        eventually(|| connections::to(port, side, &options) == expected)
    };
    check!(have(Side::Connected, 0) && have(Side::Accepted, 0));
    one.set_options(&options)?;
    check!(have(Side::Connected, 1) && have(Side::Accepted, 0));
    two.set_options(&options)?;
    check!(have(Side::Connected, 1) && have(Side::Accepted, 1));
    // Each of them counts.
    for other in [
        Options {
            keep_idle_s: 12,
            ..options
        },
        Options {
            keep_interval_s: 8,
            ..options
        },
        Options {
            keep_count: 6,
            ..options
        },
        Options {
            user_timeout_ms: 12_346,
            ..options
        },
        Options {
            priority: 4,
            ..options
        },
    ] {
        check!(connections::to(port, Side::Accepted, &other).as_asked == 0);
    }
    Ok(())
}

/// What cannot be is refused, and harms nothing.
fn mistakes() -> Outcome {
    let (one, two) = pair()?;
    check!(one.try_send(&[&[0u8] as &[u8]; PARTS_MAX + 1], false).err() == Some(EINVAL));
    check!(one.try_send(&[], false)? == 0);
    check!(one.try_send(&[&[], &[]], false)? == 0);
    check!(one.receive_now(&mut []).err() == Some(EINVAL));
    let options = Options {
        keep_count: 0,
        ..Options::default()
    };
    check!(one.set_options(&options).err() == Some(EINVAL));
    check!(KeySerial::new(0).is_none() && KeySerial::new(-1).is_none());
    check!(PageBuffer::new(0).err() == Some(EINVAL));
    check!(PageBuffer::new(pages::SIZE_MAX + 1).err() == Some(EINVAL));
    let pages = PageBuffer::new(1)?;
    let end = pages.len();
    check!(one.try_send_pages(&pages, 0..end + 1, false).err() == Some(EINVAL));
    check!(one.try_send_pages(&pages, end..end, false)? == 0);
    one.send_all(&[b"well"], LONG_MS)?;
    let mut received = [0u8; 4];
    two.receive_all(&mut received, LONG_MS)?;
    check!(&received == b"well");
    // An address that somebody listens at, and one where nobody does.
    let here = listener()?;
    let address = here.local_address()?;
    check!(Listener::new(&address, 8).is_err());
    drop(here);
    let refused = Socket::connect(&address, LONG_MS, || false).err();
    check!(refused == Some(errno::connection_refused()));
    // It can be listened at again at once.
    Listener::new(&address, 8)?;
    Ok(())
}

/// Nothing waits longer than it was told to.
fn time_outs() -> Outcome {
    let (one, _two) = pair()?;
    let mut buffer = [0u8; 8];
    check!(!one.is_readable() && one.is_writable());
    let begin = time::now_ms();
    check!(one.receive(&mut buffer, BRIEF_MS).err() == Some(EAGAIN));
    check!(time::now_ms() >= begin + u64::from(BRIEF_MS));
    check!(one.receive(&mut buffer, 0).err() == Some(EAGAIN));
    check!(one.receive_all(&mut buffer, BRIEF_MS).err() == Some(EAGAIN));

    // Nobody accepts: when the queue is full, who comes gets no answer.
    let listener = Listener::new(&Address::loopback(0), 1)?;
    let address = listener.local_address()?;
    let mut waiting = KVec::new();
    let error = loop {
        match Socket::connect(&address, 2000, || false) {
            Ok(socket) => waiting.push(socket, GFP_KERNEL)?,
            Err(error) => break error,
        }
        check!(waiting.len() < 16);
    };
    check!(error == errno::timed_out());
    let canceled = Socket::connect(&address, LONG_MS, || true).err();
    check!(canceled == Some(errno::canceled()));
    // Those who did get in are there.
    for _ in 0..waiting.len() {
        check!(listener.accept(LONG_MS)?.is_some());
    }
    check!(listener.accept(BRIEF_MS)?.is_none());
    Ok(())
}

/// When the peer does not receive, who sends is put off, and goes on when it does; nothing is lost.
fn full() -> Outcome {
    let (one, two) = pair()?;
    let bytes = pattern(251 * 200)?;
    let mut sent = fill(&one, &bytes)?;
    check!(sent > 0 && !one.is_writable());
    check!(one.send(&[&bytes], BRIEF_MS).err() == Some(EAGAIN));
    let sender = one.clone();
    let (_thread, result) = aside(move || sender.send(&[b"last"], LONG_MS).map(|_| ()))?;
    time::sleep_ms(BRIEF_MS);
    check!(result.load(Ordering::SeqCst) == RUNS);
    let mut buffer = KVec::from_elem(0u8, 65_000, GFP_KERNEL)?;
    while sent > 0 {
        let length = buffer.len().min(sent);
        sent -= two.receive(&mut buffer[..length], LONG_MS)?;
    }
    let mut last = [0u8; 4];
    two.receive_all(&mut last, LONG_MS)?;
    check!(&last == b"last");
    check!(eventually(|| result.load(Ordering::SeqCst) == 0));
    Ok(())
}

/// Whoever waits is told at once when another thread shuts the socket down.
fn shut_down() -> Outcome {
    let ended = errno::shutdown().to_errno();
    let (one, two) = pair()?;
    let receiver = one.clone();
    let (_receives, received) = aside(move || receiver.receive(&mut [0; 8], LONG_MS).map(|_| ()))?;
    let bytes = pattern(65_000)?;
    fill(&one, &bytes)?;
    let sender = one.clone();
    let (_sends, sent) = aside(move || sender.send(&[b"more"], LONG_MS).map(|_| ()))?;
    let listener = Arc::new(listener()?, GFP_KERNEL)?;
    let accepting = listener.clone();
    let (_accepts, accepted) = aside(move || accepting.accept(LONG_MS).map(|_| ()))?;
    time::sleep_ms(BRIEF_MS);
    for result in [&received, &sent, &accepted] {
        check!(result.load(Ordering::SeqCst) == RUNS);
    }
    let begin = time::now_ms();
    one.shut_down();
    listener.shut_down();
    for result in [&received, &sent, &accepted] {
        check!(eventually(|| result.load(Ordering::SeqCst) == ended));
    }
    check!(time::now_ms() - begin < u64::from(LONG_MS) / 2);
    // It stays so, and again does nothing.
    one.shut_down();
    check!(one.is_shut_down() && one.is_readable());
    check!(one.try_send(&[b"x"], false).err() == Some(errno::shutdown()));
    check!(one.receive_now(&mut [0; 8]).err() == Some(errno::shutdown()));
    check!(listener.accept(0).err() == Some(errno::shutdown()));
    // The peer receives what was sent before, and then the end.
    let mut buffer = KVec::from_elem(0u8, 65_000, GFP_KERNEL)?;
    while two.receive(&mut buffer, LONG_MS)? > 0 {}
    check!(!two.is_shut_down());
    Ok(())
}

/// A peer that is gone is noticed by who receives and by who sends.
fn peer_closes() -> Outcome {
    let (one, two) = pair()?;
    two.send_all(&[b"bye"], LONG_MS)?;
    drop(two);
    let mut buffer = [0u8; 3];
    one.receive_all(&mut buffer, LONG_MS)?;
    check!(&buffer == b"bye");
    check!(one.receive(&mut buffer, LONG_MS)? == 0);
    check!(one.receive_all(&mut buffer, LONG_MS).err() == Some(errno::connection_reset()));
    // The first packet that nobody takes is answered with a reset.
    check!(eventually(|| {
        one.try_send(&[b"x"], false)
            .is_err_and(|error| error != EAGAIN)
    }));
    Ok(())
}

/// Counts what it is told.
struct Counts {
    readable: AtomicU32,
    writable: AtomicU32,
}

impl Counts {
    fn new() -> Result<Arc<Self>> {
        let counts = Self {
            readable: AtomicU32::new(0),
            writable: AtomicU32::new(0),
        };
        Ok(Arc::new(counts, GFP_KERNEL)?)
    }

    fn readable(&self) -> u32 {
        self.readable.load(Ordering::SeqCst)
    }

    fn writable(&self) -> u32 {
        self.writable.load(Ordering::SeqCst)
    }
}

impl Watch for Counts {
    fn readable(&self) {
        self.readable.fetch_add(1, Ordering::SeqCst);
    }

    fn writable(&self) {
        self.writable.fetch_add(1, Ordering::SeqCst);
    }
}

/// Who watches is told when something comes, when there is room again, and of the end; and nothing after that.
fn watch() -> Outcome {
    let listener = listener()?;
    let comers = Counts::new()?;
    listener.watch(comers.clone());
    let one = connect(&listener)?;
    check!(eventually(|| comers.readable() > 0));
    let two = listener.accept(LONG_MS)?.ok_or(ENOENT)?;

    let counts = Counts::new()?;
    one.watch(counts.clone());
    check!(!one.is_readable());
    let before = counts.readable();
    two.send_all(&[b"x"], LONG_MS)?;
    check!(eventually(|| counts.readable() > before));
    check!(one.is_readable());

    let bytes = pattern(65_000)?;
    let mut sent = fill(&one, &bytes)?;
    let before = counts.writable();
    let mut buffer = KVec::from_elem(0u8, 65_000, GFP_KERNEL)?;
    while sent > 0 {
        sent -= two.receive(&mut buffer, LONG_MS)?;
    }
    check!(eventually(|| counts.writable() > before));
    check!(one.is_writable());

    // Somebody else is told of the end.
    let others = Counts::new()?;
    one.watch(others.clone());
    let before = (counts.readable(), counts.writable());
    one.shut_down();
    check!(others.readable() > 0 && others.writable() > 0);
    check!((counts.readable(), counts.writable()) == before);
    one.unwatch();
    listener.unwatch();
    // Nobody holds on to those who do not watch any more.
    for counts in [counts, comers, others] {
        check!(counts.into_unique_or_drop().is_some());
    }
    Ok(())
}

/// Sends all that is in `pages` from `begin` on.
fn send_pages(socket: &Socket, pages: &PageBuffer, begin: usize) -> Result {
    let mut sent = begin;
    while sent < pages.len() {
        sent += socket.send_pages(pages, sent..pages.len(), LONG_MS)?;
    }
    Ok(())
}

/// Pages are sent as they are, cannot be written before that is over, and may be dropped.
fn pages_without_a_copy() -> Outcome {
    let (one, two) = pair()?;
    let length = 3 * 4096;
    let bytes = pattern(length)?;
    let mut received = KVec::from_elem(0u8, length, GFP_KERNEL)?;
    for round in 0..3u8 {
        let mut pages = PageBuffer::new(length - 100)?;
        check!(pages.len() == length && pages.iter().all(|&byte| byte == 0));
        let writable = pages.writable().ok_or(EBUSY)?;
        writable.copy_from_slice(&bytes);
        // Also from the middle of a page.
        let begin = usize::from(round) * 100;
        send_pages(&one, &pages, begin)?;
        check!(pages.writable().is_none());
        check!(pages[..] == bytes[..]);
        two.receive_all(&mut received[begin..], LONG_MS)?;
        check!(received[begin..] == bytes[begin..]);
    }
    // Nobody has received it yet, and the buffer is gone.
    let mut pages = PageBuffer::new(length)?;
    pages.writable().ok_or(EBUSY)?.copy_from_slice(&bytes);
    send_pages(&one, &pages, 0)?;
    drop(pages);
    received.fill(0);
    two.receive_all(&mut received, LONG_MS)?;
    check!(received[..] == bytes[..]);
    // Several at once, and received to two places.
    let mut buffers = KVec::new();
    for chunk in bytes.chunks(4096) {
        let mut pages = PageBuffer::new(chunk.len())?;
        pages.writable().ok_or(EBUSY)?.copy_from_slice(chunk);
        buffers.push(pages, GFP_KERNEL)?;
    }
    let too_many = (0..=PARTS_MAX).map(|_| (&buffers[0], 0..1));
    check!(one.try_send_ranges(too_many, false).err() == Some(EINVAL));
    let ranges = buffers.iter().map(|pages| (pages, 100..4000));
    let sent = one.try_send_ranges(ranges, false)?;
    check!(sent > 0 && sent <= 3 * 3900);
    received.fill(0);
    check!(eventually(|| two.is_readable()));
    let (near, far) = received.split_at_mut(50);
    check!(two.receive_both_now(&mut [], far).err() == Some(EINVAL));
    let number = two.receive_both_now(near, far)?;
    check!(number > 50 && number <= sent);
    two.receive_all(&mut received[number..sent], LONG_MS)?;
    let expected = buffers.iter().flat_map(|pages| &pages[100..4000]);
    check!(received.iter().take(sent).eq(expected.take(sent)));
    // What is copied can be written at once.
    let mut pages = PageBuffer::new(length)?;
    one.send_all(&[&pages], LONG_MS)?;
    check!(pages.writable().is_some());
    Ok(())
}

/// Where nobody shakes hands, nobody waits for it, and the socket is of no use after that.
fn tls_without_a_daemon() -> Outcome {
    let (one, two) = pair()?;
    let none = tls::Parameters {
        authentication: tls::Authentication::Keys(&[]),
        keyring: None,
    };
    let client = tls::Role::Client;
    check!(tls::handshake(&one, client, &none, LONG_MS, || false).err() == Some(EINVAL));
    one.send_all(&[b"plain"], LONG_MS)?;
    two.receive_all(&mut [0; 5], LONG_MS)?;

    let keyring = match Keyring::new(c_str!(".popcorn_test")) {
        Ok(keyring) => {
            let serial = KeySerial::new(keyring.serial()).ok_or(EINVAL)?;
            serial.check()?;
            Some(keyring)
        }
        Err(error) if error == errno::not_supported() => None,
        Err(error) => return Err(error.into()),
    };
    let key = KeySerial::new(i32::MAX).ok_or(EINVAL)?;
    check!(key.check().is_err());
    let keys = [key];
    let parameters = tls::Parameters {
        authentication: tls::Authentication::Keys(&keys),
        keyring: keyring.as_ref(),
    };
    // No handshakes in this kernel; no tlshd; or one that knows no such key.
    check!(tls::handshake(&one, client, &parameters, 2000, || false).is_err());
    check!(one.is_shut_down());
    check!(one.try_send(&[b"plain"], false).err() == Some(errno::shutdown()));
    Ok(())
}

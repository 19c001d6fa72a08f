// SPDX-License-Identifier: GPL-2.0
//! TCP sockets of the kernel's own, in the initial network namespace.
//!
//! A [`Listener`] accepts connections, [`Socket`] is one. Both may be used by several threads at once, and any thread
//! may [shut one down](Socket::shut_down), which ends every wait of the others: that is how they are stopped. Waits are
//! bounded by a time, too. In a task a fatal signal ends them; in a kernel thread they do not count as load.
//!
//! Sockets are made, accepted and connected in kernel threads, since the cgroups of a task would pay for them.
//!
//! # Locks
//!
//! Each call takes the socket's own lock, which may sleep, for as long as it takes to copy: nobody waits for a peer
//! with it. Nothing of this project is taken below it, but for what [`Watch`] says.
//!
//! C code: `helpers/socket.c`.

use crate::bindings;
use crate::bindings::pcn_socket_event_PCN_SOCKET_ENDED as ENDED;
use crate::bindings::pcn_socket_event_PCN_SOCKET_READABLE as READABLE;
use crate::bindings::pcn_socket_event_PCN_SOCKET_WRITABLE as WRITABLE;
use crate::current;
use crate::errno;
use crate::pages::PageBuffer;
use crate::time;
use crate::wait::Sleep;
use crate::wait::WaitQueue;
use crate::warn_ratelimited;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::null;
use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::bindings::kvec;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::address::Address;

/// The most slices that one call can send.
pub const PARTS_MAX: usize = bindings::PCN_SOCKET_PARTS_MAX as usize;
/// How long until a wish to end is seen while a connection is made, in milliseconds.
const SLICE_MS: u64 = 50;

/// Content types of TLS records, and the one alert that is no complaint.
const RECORD_ALERT: u8 = 21;
const RECORD_HANDSHAKE: u8 = 22;
const ALERT_CLOSE_NOTIFY: u8 = 0;

/// Who is told that something happened to a socket.
///
/// Both functions run in any context but NMI, also with interrupts off and the lock of a wait queue held: they wake
/// somebody, or ask a worker to come, and call nothing of the socket. They may be called in vain; and who begins to
/// watch looks once himself for what was there before.
pub trait Watch: Send + Sync + 'static {
    /// There may be something to receive or to accept, or it has ended.
    fn readable(&self);
    /// There may be room to send, after a send that found none; or it has ended, or is connected.
    fn writable(&self);
}

/// How a connection finds out that its peer is gone, and what its packets are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// After so many seconds without a packet the peer is probed, ...
    pub keep_idle_s: u32,
    /// ... again after so many, ...
    pub keep_interval_s: u32,
    /// ... and counts as gone after so many probes.
    pub keep_count: u32,
    /// What is sent and not acknowledged for so many milliseconds ends the connection. 0: as long as the
    /// system's settings say, which is a quarter of an hour.
    pub user_timeout_ms: u32,
    /// `SO_PRIORITY`, for queueing disciplines: 0 to 6, more goes first.
    pub priority: u32,
}

impl Default for Options {
    /// A peer that is silent is gone within 10 seconds.
    fn default() -> Self {
        Self {
            keep_idle_s: 4,
            keep_interval_s: 2,
            keep_count: 3,
            user_timeout_ms: 10_000,
            priority: 0,
        }
    }
}

impl Options {
    /// For C.
    pub(crate) fn encode(&self) -> bindings::pcn_socket_options {
        bindings::pcn_socket_options {
            keep_idle: self.keep_idle_s,
            keep_interval: self.keep_interval_s,
            keep_count: self.keep_count,
            user_timeout: self.user_timeout_ms,
            priority: self.priority,
        }
    }
}

/// What both kinds of socket are.
///
/// # Invariants
///
/// `inner` is from `pcn_socket_new` or `pcn_socket_accept`, and freed only by drop().
struct Inner(NonNull<bindings::pcn_socket>);

// SAFETY: the C functions may be called in any thread; they take the socket's lock.
unsafe impl Send for Inner {}
// SAFETY: as above, several at once.
unsafe impl Sync for Inner {}

impl Inner {
    fn new(address: &Address) -> Result<Self> {
        // SAFETY: no requirement.
        let inner = unsafe { bindings::pcn_socket_new(address.octets().1) };
        Self::from_raw(inner)
    }

    /// Takes over what a C function has made, or its error.
    fn from_raw(inner: *mut bindings::pcn_socket) -> Result<Self> {
        // INVARIANT: just made.
        Ok(Self(NonNull::new(from_err_ptr(inner)?).ok_or(ENOMEM)?))
    }

    fn as_ptr(&self) -> *mut bindings::pcn_socket {
        self.0.as_ptr()
    }

    fn shut_down(&self) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_socket_shut_down(self.as_ptr()) };
    }

    fn is_shut_down(&self) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_socket_is_shut_down(self.as_ptr()) }
    }

    /// Whether any of `events` holds.
    fn has(&self, events: u32) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_socket_events(self.as_ptr()) & events != 0 }
    }

    /// Waits until any of `events` holds, or nothing will any more.
    fn wait(&self, events: u32, timeout_ms: u64) -> Result {
        // SAFETY: asks about the current task.
        let sleep = if unsafe { bindings::pcn_in_kernel_thread() } {
            Sleep::Idle
        } else {
            Sleep::Killable
        };
        // SAFETY: the queue was initialised with the socket, and stays where it is as long as that.
        let queue = unsafe { WaitQueue::from_raw(bindings::pcn_socket_queue(self.as_ptr())) };
        let timeout_ms = timeout_ms.min(u32::MAX.into()) as u32;
        queue.wait(sleep, Some(timeout_ms), || self.has(events | ENDED))
    }

    /// Repeats `operation` while it says `EAGAIN`, until the time is over, which is `EAGAIN` as well.
    fn repeat<T>(
        &self,
        events: u32,
        timeout_ms: u32,
        mut operation: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let end = time::now_ms().saturating_add(timeout_ms.into());
        let mut was_ready = false;
        loop {
            match operation() {
                Err(error) if error == EAGAIN => (),
                result => return result,
            }
            let left = end.saturating_sub(time::now_ms());
            if left == 0 {
                return Err(EAGAIN);
            }
            if current::fatal_signal_pending() {
                return Err(EINTR);
            }
            let is_ready = self.has(events | ENDED);
            if is_ready && was_ready {
                // It could be done but was not, twice: memory is short, of which nobody tells the end.
                time::sleep_ms(1);
            } else if !is_ready {
                match self.wait(events, left) {
                    Err(error) if error == EINTR => return Err(error),
                    // Over or not, one more try.
                    _ => (),
                }
            }
            was_ready = is_ready;
        }
    }

    fn address(&self, peer: bool) -> Result<Address> {
        let mut address = bindings::pcn_address::default();
        // SAFETY: valid by the invariant; writes to the variable, which lives.
        to_result(unsafe { bindings::pcn_socket_address(self.as_ptr(), peer, &mut address) })?;
        Ok(Address::from_octets(
            address.octets,
            address.ipv6,
            address.port,
        ))
    }

    fn watch<W: Watch>(&self, watcher: Arc<W>) {
        let data = Arc::into_raw(watcher).cast_mut().cast();
        // SAFETY: valid by the invariant. The functions take what `data` points to, which is theirs until
        // `release` takes it back, once. The table is a constant, so static.
        unsafe { bindings::pcn_socket_watch(self.as_ptr(), &Watcher::<W>::OPERATIONS, data) };
    }

    fn unwatch(&self) {
        // SAFETY: valid by the invariant; nobody watches any more.
        unsafe { bindings::pcn_socket_watch(self.as_ptr(), null(), null_mut()) };
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant, and this is the last use.
        unsafe { bindings::pcn_socket_free(self.as_ptr()) };
    }
}

fn encode(address: &Address) -> bindings::pcn_address {
    let (octets, ipv6) = address.octets();
    bindings::pcn_address {
        octets,
        ipv6,
        port: address.port(),
    }
}

/// What C calls for a watcher of type `W`.
struct Watcher<W>(PhantomData<W>);

impl<W: Watch> Watcher<W> {
    const OPERATIONS: bindings::pcn_socket_operations = bindings::pcn_socket_operations {
        woken: Some(Self::woken),
        release: Some(Self::release),
    };

    /// # Safety
    ///
    /// `data` is from `Arc::<W>::into_raw`, and not yet released.
    unsafe extern "C" fn woken(data: *mut c_void, events: u32) {
        // SAFETY: as required of the caller.
        let watcher = unsafe { &*data.cast::<W>() };
        if events & (READABLE | ENDED) != 0 {
            watcher.readable();
        }
        if events & (WRITABLE | ENDED) != 0 {
            watcher.writable();
        }
    }

    /// # Safety
    ///
    /// As for `woken`, which does not run and will not any more.
    unsafe extern "C" fn release(data: *mut c_void) {
        // SAFETY: as required of the caller; the reference is ours.
        drop(unsafe { Arc::<W>::from_raw(data.cast()) });
    }
}

/// A socket that others connect to. Dropping it frees the port; it may sleep.
pub struct Listener {
    inner: Inner,
}

impl Listener {
    /// Listens at `address`; up to `backlog` connections that nobody has accepted wait. Only in a kernel
    /// thread. May sleep.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`: somebody does. `EADDRNOTAVAIL`: it is not this machine's. `EPERM`: not in a kernel thread.
    /// `EOPNOTSUPP`, `EAFNOSUPPORT`: not in this kernel. `ENOMEM`.
    pub fn new(address: &Address, backlog: u32) -> Result<Self> {
        let inner = Inner::new(address)?;
        // SAFETY: valid by the invariant; reads the address, which lives.
        to_result(unsafe {
            bindings::pcn_socket_listen(inner.as_ptr(), &encode(address), backlog)
        })?;
        Ok(Self { inner })
    }

    /// The next connection; `None` if nobody has connected when the time is over. Only in a kernel thread.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN`: it was shut down. `ECONNABORTED`, and others of the network: that connection failed, the next
    /// may do. `ENOMEM`, `ENFILE`: it is lost. `EPERM`: not in a kernel thread.
    pub fn accept(&self, timeout_ms: u32) -> Result<Option<Socket>> {
        let accepted = self.inner.repeat(READABLE, timeout_ms, || {
            // SAFETY: valid by the invariant.
            let inner = unsafe { bindings::pcn_socket_accept(self.inner.as_ptr()) };
            Inner::from_raw(inner)
        });
        match accepted {
            Ok(inner) => Ok(Some(Socket { inner })),
            Err(_) if self.inner.is_shut_down() => Err(errno::shutdown()),
            Err(error) if error == EAGAIN => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where it listens: with the port that the kernel chose, if it was asked to.
    ///
    /// # Errors
    ///
    /// As the network says; none are known.
    pub fn local_address(&self) -> Result<Address> {
        self.inner.address(false)
    }

    /// See [`Socket::watch`].
    pub fn watch<W: Watch>(&self, watcher: Arc<W>) {
        self.inner.watch(watcher);
    }

    /// See [`Socket::unwatch`].
    pub fn unwatch(&self) {
        self.inner.unwatch();
    }

    /// Nobody can connect any more, and whoever waits for that is told `ESHUTDOWN`. May sleep.
    pub fn shut_down(&self) {
        self.inner.shut_down();
    }
}

/// A connection. What is sent goes out at once (`TCP_NODELAY`), unless more is announced.
///
/// Dropping it closes it in the background: what was sent still arrives, if the peer is there, and unless something that
/// came was not received, which resets it. Dropping may sleep.
pub struct Socket {
    inner: Inner,
}

impl Socket {
    /// Connects to `address`. `should_end` is asked some twenty times a second whether to give up. Only in a
    /// kernel thread. May sleep.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`: the time is over. `ECANCELED`: `should_end` said so. `EINTR`: killed. `ECONNREFUSED`: nobody
    /// listens. `ENETUNREACH`, `EHOSTUNREACH`. `EPERM`: not in a kernel thread. `EOPNOTSUPP`, `EAFNOSUPPORT`: not in
    /// this kernel. `ENOMEM`.
    pub fn connect(
        address: &Address,
        timeout_ms: u32,
        should_end: impl Fn() -> bool,
    ) -> Result<Self> {
        let inner = Inner::new(address)?;
        let to = encode(address);
        let end = time::now_ms().saturating_add(timeout_ms.into());
        loop {
            // SAFETY: valid by the invariant; reads the address, which lives.
            match to_result(unsafe { bindings::pcn_socket_connect(inner.as_ptr(), &to) }) {
                Ok(()) => return Ok(Self { inner }),
                Err(error) if error == errno::in_progress() || error == errno::already() => (),
                Err(error) => return Err(error),
            }
            if should_end() {
                return Err(errno::canceled());
            }
            let left = end.saturating_sub(time::now_ms());
            if left == 0 {
                return Err(errno::timed_out());
            }
            match inner.wait(WRITABLE, left.min(SLICE_MS)) {
                Err(error) if error == EINTR => return Err(error),
                _ => (),
            }
        }
    }

    /// Sets what it does about a silent peer. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: a time or count is 0 (but for `user_timeout_ms`) or too large: 32,767 seconds, 127 probes.
    pub fn set_options(&self, options: &Options) -> Result {
        let options = options.encode();
        // SAFETY: valid by the invariant; reads the options, which live.
        to_result(unsafe { bindings::pcn_socket_set_options(self.inner.as_ptr(), &options) })
    }

    /// Who is connected, as it appears here.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`: nobody any more.
    pub fn peer_address(&self) -> Result<Address> {
        self.inner.address(true)
    }

    /// This side's address.
    ///
    /// # Errors
    ///
    /// As the network says; none are known.
    pub fn local_address(&self) -> Result<Address> {
        self.inner.address(false)
    }

    /// Sends what there is room for, without waiting for more: how many bytes of `parts`, in order, at least 1 unless
    /// they are empty. With `more` the rest of a packet waits for what is sent next. May sleep, but not for the peer.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: there is no room now; [`Watch::writable`] follows when there is. If [`Socket::is_writable`] is true all
    /// the same, memory is short, of which nobody tells the end: try again a while later. `EPIPE`,
    /// `ECONNRESET`, `ETIMEDOUT` and others of the network: it has ended. `ESHUTDOWN`: it was shut down. `EINVAL`:
    /// more than [`PARTS_MAX`] parts.
    pub fn try_send(&self, parts: &[&[u8]], more: bool) -> Result<usize> {
        self.send_from(parts, 0, more)
    }

    /// [`Socket::try_send`] without the first `skip` bytes.
    fn send_from(&self, parts: &[&[u8]], mut skip: usize, more: bool) -> Result<usize> {
        if parts.len() > PARTS_MAX {
            return Err(EINVAL);
        }
        let mut vectors = [kvec::default(); PARTS_MAX];
        let mut count = 0;
        let mut size = 0;
        for part in parts {
            let rest = part.get(skip..).unwrap_or(&[]);
            skip = skip.saturating_sub(part.len());
            if rest.is_empty() {
                continue;
            }
            if let Some(vector) = vectors.get_mut(count) {
                vector.iov_base = rest.as_ptr().cast_mut().cast();
                vector.iov_len = rest.len();
                count += 1;
                size += rest.len();
            }
        }
        if size == 0 {
            return Ok(0);
        }
        // SAFETY: valid by the invariant; the first `count` vectors are of slices that live, `size` bytes together,
        // which are only read.
        counted(unsafe {
            bindings::pcn_socket_send(self.inner.as_ptr(), vectors.as_mut_ptr(), count, size, more)
        })
    }

    /// [`Socket::try_send`] that waits until there is room for some of it, killable.
    ///
    /// # Errors
    ///
    /// As there; `EAGAIN` when the time is over. `EINTR`: killed.
    pub fn send(&self, parts: &[&[u8]], timeout_ms: u32) -> Result<usize> {
        self.inner
            .repeat(WRITABLE, timeout_ms, || self.try_send(parts, false))
    }

    /// Sends all of `parts`, killable.
    ///
    /// # Errors
    ///
    /// As for [`Socket::send`]. Some may have been sent then, so the connection is of no more use. `EAGAIN` when the
    /// time is over.
    pub fn send_all(&self, parts: &[&[u8]], timeout_ms: u32) -> Result {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let end = time::now_ms().saturating_add(timeout_ms.into());
        let mut sent = 0;
        while sent < size {
            let left = end.saturating_sub(time::now_ms()) as u32;
            sent += self
                .inner
                .repeat(WRITABLE, left, || self.send_from(parts, sent, false))?;
        }
        Ok(())
    }

    /// [`Socket::try_send`] of a range of `pages`, which the network refers to instead of copying them, where it can:
    /// they cannot be written until it is done ([`PageBuffer::writable`]), and may be dropped before that.
    ///
    /// # Errors
    ///
    /// As there. `EINVAL`: the range is not in it.
    pub fn try_send_pages(
        &self,
        pages: &PageBuffer,
        range: Range<usize>,
        more: bool,
    ) -> Result<usize> {
        self.try_send_ranges(core::iter::once((pages, range)), more)
    }

    /// [`Socket::try_send_pages`] of several ranges, in order.
    ///
    /// # Errors
    ///
    /// As there. `EINVAL` also: more than [`PARTS_MAX`].
    pub fn try_send_ranges<'a>(
        &self,
        ranges: impl Iterator<Item = (&'a PageBuffer, Range<usize>)>,
        more: bool,
    ) -> Result<usize> {
        let mut vectors = [kvec::default(); PARTS_MAX];
        let mut count = 0;
        let mut size = 0;
        for (pages, range) in ranges {
            let bytes = pages.get(range).ok_or(EINVAL)?;
            if bytes.is_empty() {
                continue;
            }
            let vector = vectors.get_mut(count).ok_or(EINVAL)?;
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            count += 1;
            size += bytes.len();
            pages.lend();
        }
        if size == 0 {
            return Ok(0);
        }
        // SAFETY: valid by the invariant; the first `count` vectors are of slices that live for 'a, `size` bytes
        // together. Each is of whole pages with counts of their own, in one piece, that are not written until nobody
        // refers to them, which `lend` has taken care of.
        counted(unsafe {
            bindings::pcn_socket_send_pages(
                self.inner.as_ptr(),
                vectors.as_ptr(),
                count,
                size,
                more,
            )
        })
    }

    /// [`Socket::try_send_pages`] that waits until there is room for some of them, killable.
    ///
    /// # Errors
    ///
    /// As there; `EAGAIN` when the time is over. `EINTR`: killed.
    pub fn send_pages(
        &self,
        pages: &PageBuffer,
        range: Range<usize>,
        timeout_ms: u32,
    ) -> Result<usize> {
        self.inner.repeat(WRITABLE, timeout_ms, || {
            self.try_send_pages(pages, range.clone(), false)
        })
    }

    /// Receives what is there, without waiting: how many bytes, or 0 when the peer has closed its side. May sleep, but
    /// not for the peer.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: nothing is there; [`Watch::readable`] follows. `ECONNRESET`, `ETIMEDOUT` and others of the network: it
    /// has ended. `ESHUTDOWN`: it was shut down. `EINVAL`: no room in `buffer`. With TLS: `EBADMSG`: what came is not
    /// what the peer encrypted; `EPROTO`: the peer does what TLS allows and we do not, such as to change keys;
    /// `ECONNRESET` also: an alert. The connection is shut down then.
    pub fn receive_now(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_both_now(buffer, &mut [])
    }

    /// [`Socket::receive_now`] into `first`, and what comes after that into `second`.
    ///
    /// # Errors
    ///
    /// As there; `EINVAL`: no room in `first`.
    pub fn receive_both_now(&self, first: &mut [u8], second: &mut [u8]) -> Result<usize> {
        if first.is_empty() {
            return Err(EINVAL);
        }
        let size = first.len() + second.len();
        let count = if second.is_empty() { 1 } else { 2 };
        let mut vectors = [first, second].map(|part| kvec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: part.len(),
        });
        let mut record = bindings::pcn_socket_record::default();
        // SAFETY: valid by the invariant; writes to the first `count` vectors, which are of slices that live, `size`
        // bytes together, and to the record, which lives.
        let received = counted(unsafe {
            bindings::pcn_socket_receive(
                self.inner.as_ptr(),
                vectors.as_mut_ptr(),
                count,
                size,
                &mut record,
            )
        });
        match received {
            Err(error) if error == errno::bad_message() => self.not_data(&record),
            received => received,
        }
    }

    /// What a record means that is no data: an end, whichever it is.
    fn not_data(&self, record: &bindings::pcn_socket_record) -> Result<usize> {
        let result = match record.type_ {
            0 => {
                warn_ratelimited!("a TLS record was changed on its way\n");
                Err(errno::bad_message())
            }
            RECORD_ALERT if record.level != 0 && record.description == ALERT_CLOSE_NOTIFY => Ok(0),
            RECORD_ALERT => {
                let description = record.description;
                warn_ratelimited!("the peer ends TLS with alert {}\n", description);
                Err(errno::connection_reset())
            }
            RECORD_HANDSHAKE => {
                warn_ratelimited!("the peer wants to change keys of TLS, which is not done\n");
                Err(errno::protocol())
            }
            kind => {
                warn_ratelimited!("a TLS record of type {} came\n", kind);
                Err(errno::protocol())
            }
        };
        self.shut_down();
        result
    }

    /// [`Socket::receive_now`] that waits until something is there, killable.
    ///
    /// # Errors
    ///
    /// As there; `EAGAIN` when the time is over. `EINTR`: killed.
    pub fn receive(&self, buffer: &mut [u8], timeout_ms: u32) -> Result<usize> {
        self.inner
            .repeat(READABLE, timeout_ms, || self.receive_now(buffer))
    }

    /// Fills all of `buffer`, killable.
    ///
    /// # Errors
    ///
    /// As for [`Socket::receive`]; some bytes may be lost then. `EAGAIN` when the time is over. `ECONNRESET`: the peer
    /// has closed its side before.
    pub fn receive_all(&self, buffer: &mut [u8], timeout_ms: u32) -> Result {
        let end = time::now_ms().saturating_add(timeout_ms.into());
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let left = end.saturating_sub(time::now_ms()) as u32;
            match self.receive(rest, left)? {
                0 => return Err(errno::connection_reset()),
                received => filled += received,
            }
        }
        Ok(())
    }

    /// Whether [`Socket::receive_now`] would not say `EAGAIN`. Any context but NMI and [`Watch`]'s.
    pub fn is_readable(&self) -> bool {
        self.inner.has(READABLE | ENDED)
    }

    /// Whether there is room to send. If not, [`Watch::writable`] follows when there is. As
    /// [`Socket::is_readable`].
    pub fn is_writable(&self) -> bool {
        self.inner.has(WRITABLE | ENDED)
    }

    /// From now on `watcher` is told what happens, instead of who was, who is dropped here. May sleep.
    pub fn watch<W: Watch>(&self, watcher: Arc<W>) {
        self.inner.watch(watcher);
    }

    /// Nobody is told any more, and when it returns nobody is in a function of the watcher, which is dropped. May
    /// sleep.
    pub fn unwatch(&self) {
        self.inner.unwatch();
    }

    /// Ends it both ways, at once: whoever waits is told `ESHUTDOWN`, and so is everybody who uses it later. With TLS
    /// the peer is told that nothing more comes. May sleep.
    pub fn shut_down(&self) {
        self.inner.shut_down();
    }

    /// Whether [`Socket::shut_down`] was called.
    pub fn is_shut_down(&self) -> bool {
        self.inner.is_shut_down()
    }

    /// For `tls.rs`.
    pub(crate) fn as_ptr(&self) -> *mut bindings::pcn_socket {
        self.inner.as_ptr()
    }
}

/// A count, or a negative errno.
fn counted(count: isize) -> Result<usize> {
    usize::try_from(count).map_err(|_| Error::from_errno(count as i32))
}

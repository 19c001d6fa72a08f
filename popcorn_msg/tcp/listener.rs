// SPDX-License-Identifier: GPL-2.0
//! Takes connections that peers make, finds out whose they are, and hands them over.
//!
//! Who connects is a stranger until it has said hello, in time. Few may be strangers at once; when more come, others are
//! sent away for them (`popcorn_core::strangers`), so that nobody is kept out by those who say nothing.
//!
//! Locks: `peers`, `listens`, `strangers`, leaves.

use super::connection::Body;
use super::connection::Connection;
use super::end::Arrival;
use super::refusal::Refusal;
use super::security;
use super::security::Security;
use super::setup::Role;
use super::Tcp;
use crate::life::new_life;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::address::Address;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::strangers::Strangers;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Hello;
use popcorn_core::window::Introduction;
use popcorn_core::window::NAME_LEN;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::socket;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::time;
use popcorn_kernel::tls::Peer;
use popcorn_kernel::wait::WaitQueue;
use popcorn_kernel::warn_ratelimited;
use popcorn_kernel::work::WorkQueue;

/// Connections that have not said hello yet.
const STRANGERS_MAX: usize = 16;
/// With those that are being sent away, or dealt with.
const CONNECTIONS_MAX: u32 = 2 * STRANGERS_MAX as u32;
/// For the hello.
const HELLO_MS: u64 = 5000;
/// For the answer to who is refused.
const TELL_MS: u64 = 200;
const NO_MEMORY: &str = "no memory";
/// Between two looks whether to go on.
const STEP_MS: u32 = 200;
/// Connections that wait to be taken.
const BACKLOG: u32 = 32;
const FROM_ELSEWHERE: &str = "its node is expected from another host";

/// The peers that may connect to this node.
#[pin_data]
pub(crate) struct Roster {
    own: NodeId,
    protocol: u64,
    #[pin]
    peers: SpinLock<[Option<Arc<Tcp>>; NODE_MAX]>,
}

impl Roster {
    /// Nobody.
    pub(crate) fn new(own: NodeId, protocol: u64) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                own,
                protocol,
                peers <- new_spinlock!([const { None }; NODE_MAX], "popcorn_msg::Roster::peers"),
            }),
            GFP_KERNEL,
        )
    }

    /// From now on, or no longer, `peer` may connect.
    pub(crate) fn set(&self, peer: NodeId, tcp: Option<Arc<Tcp>>) {
        let old = match self.peers.lock().get_mut(peer.index()) {
            Some(slot) => core::mem::replace(slot, tcp),
            None => tcp,
        };
        drop(old);
    }

    /// Makes the threads that know who is a member look around. May sleep.
    pub(crate) fn signal(&self) {
        let peers = NodeId::all().filter_map(|id| self.find(id));
        peers.for_each(|tcp| tcp.end(Channel::Urgent).signal());
    }

    /// Those who are expected to connect to `address`.
    fn expected_at(&self, address: Address) -> impl Iterator<Item = Arc<Tcp>> + '_ {
        NodeId::all()
            .filter_map(|id| self.find(id))
            .filter(move |tcp| tcp.setup().role == Role::Listen(address))
    }

    /// The peer, if it may.
    fn find(&self, peer: NodeId) -> Option<Arc<Tcp>> {
        self.peers.lock().get(peer.index())?.clone()
    }
}

/// What the thread and the workers of a listener share.
#[pin_data]
struct Shared {
    roster: Arc<Roster>,
    address: Address,
    ends: AtomicBool,
    connections: AtomicU32,
    #[pin]
    strangers: SpinLock<Strangers<STRANGERS_MAX>>,
    /// Whether it listens, when that is known.
    #[pin]
    listens: SpinLock<Option<Result>>,
    #[pin]
    begun: WaitQueue,
}

/// Takes connections at an address. Dropping it ends that, and waits for its workers.
struct Listener {
    shared: Arc<Shared>,
    /// Before the workers, which it feeds.
    thread: Option<Kthread>,
    workers: Arc<WorkQueue>,
}

impl Listener {
    /// Begins. May sleep.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, `EADDRNOTAVAIL`: the address cannot be had. `EINTR`: killed. `ENOMEM`.
    fn new(roster: Arc<Roster>, address: Address) -> Result<Self> {
        let workers = Arc::new(
            WorkQueue::new(c_str!("popcorn_hello"), CONNECTIONS_MAX)?,
            GFP_KERNEL,
        )?;
        let shared = Arc::pin_init(
            pin_init!(Shared {
                roster,
                address,
                ends: AtomicBool::new(false),
                connections: AtomicU32::new(0),
                strangers <- new_spinlock!(Strangers::new(), "popcorn_msg::Listener::strangers"),
                listens <- new_spinlock!(None, "popcorn_msg::Listener::listens"),
                begun <- new_waitqueue!("popcorn_msg::Listener::begun"),
            }),
            GFP_KERNEL,
        )?;
        let thread = {
            let (shared, workers) = (shared.clone(), workers.clone());
            Kthread::spawn(c_str!("popcorn_listen"), move || listen(&shared, &workers))?
        };
        let this = Self {
            shared,
            thread: Some(thread),
            workers,
        };
        let shared = &this.shared;
        shared
            .begun
            .wait_killable(|| shared.listens.lock().is_some())?;
        let listens = *shared.listens.lock();
        listens.unwrap_or(Err(EIO))?;
        Ok(this)
    }

    fn address(&self) -> Address {
        self.shared.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        self.thread = None;
        self.workers.flush();
    }
}

/// All that listen. Their owner's lock guards them.
#[derive(Default)]
pub(crate) struct Listeners(KVec<Option<Listener>>);

impl Listeners {
    /// Takes connections at `address`, if that is not so yet. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: peers are expected there whose connections begin otherwise. Else as [`Listener::new`].
    pub(crate) fn add(
        &mut self,
        roster: &Arc<Roster>,
        address: Address,
        security: &Security,
    ) -> Result {
        if self.0.iter().flatten().any(|one| one.address() == address) {
            let opening = security.opening();
            if roster
                .expected_at(address)
                .any(|tcp| tcp.setup().security.opening() != opening)
            {
                pr_err!(
                    "at {} others are expected with another kind of security, or are shown another certificate\n",
                    address
                );
                return Err(EBUSY);
            }
            return Ok(());
        }
        let listener = Some(Listener::new(roster.clone(), address)?);
        match self.0.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = listener,
            None => self.0.push(listener, GFP_KERNEL)?,
        }
        Ok(())
    }

    /// Leaves the addresses at which no peer of the roster is expected any more. May sleep.
    pub(crate) fn leave_unused(&mut self, roster: &Roster) {
        for slot in self.0.iter_mut() {
            if slot
                .as_ref()
                .is_some_and(|one| roster.expected_at(one.address()).next().is_none())
            {
                drop(slot.take());
            }
        }
    }
}

/// The thread: sockets are made where no cgroup pays for them.
fn listen(shared: &Arc<Shared>, workers: &WorkQueue) {
    let (socket, listens) = match socket::Listener::new(&shared.address, BACKLOG) {
        Ok(socket) => (Some(socket), Ok(())),
        Err(error) => (None, Err(error)),
    };
    *shared.listens.lock() = Some(listens);
    shared.begun.wake_all();
    let Some(socket) = socket else { return };
    while !should_stop() {
        match socket.accept(STEP_MS) {
            Ok(Some(accepted)) => received(shared, workers, accepted),
            Ok(None) => {}
            // That connection is gone, or memory is short.
            Err(_) => time::sleep_ms(STEP_MS),
        }
    }
}

fn received(shared: &Arc<Shared>, workers: &WorkQueue, accepted: Socket) {
    let Ok(from) = accepted.peer_address() else {
        // It is gone.
        return;
    };
    // Before it counts: hosts from which nobody is expected would put out strangers from others.
    let mut expected = shared.roster.expected_at(shared.address).peekable();
    if expected.peek().is_some() && !expected.any(|tcp| tcp.setup().may_come_from(&from)) {
        tell_refused(&from, FROM_ELSEWHERE.into());
        return;
    }
    let before = shared.connections.fetch_add(1, Ordering::Relaxed);
    let refused = || {
        warn_ratelimited!(
            "too many connections to {} that say nothing; one is refused\n",
            shared.address
        );
    };
    if before >= CONNECTIONS_MAX {
        // They come faster than others can be sent away.
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        refused();
        return;
    }
    let (number, for_another) = shared.strangers.lock().enter(from.ip());
    let stranger = Stranger {
        shared: shared.clone(),
        from,
        number,
    };
    if for_another {
        refused();
    }
    // If this fails, the connection is closed.
    workers
        .spawn(GFP_KERNEL, move || identify(&stranger, accepted))
        .ok();
}

/// One who has connected. He counts until this is dropped.
struct Stranger {
    shared: Arc<Shared>,
    from: Address,
    number: u64,
}

impl Stranger {
    /// Whether he must go: another one has his place, or nobody is listened to any more.
    fn must_go(&self) -> bool {
        self.shared.ends.load(Ordering::Acquire)
            || !self.shared.strangers.lock().is_here(self.number)
    }

    /// He has said who he is.
    fn is_known(&self) {
        self.shared.strangers.lock().leave(self.number);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.is_known();
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finds out who it is.
fn identify(stranger: &Stranger, socket: Socket) {
    if let Err(what) = hear(stranger, socket) {
        tell_refused(&stranger.from, what);
    }
}

/// An address for who has to find the one that knocks.
fn tell_refused(from: &Address, what: Refusal) {
    warn_ratelimited!("a connection from {} is refused: {}\n", from, what);
}

fn hear(stranger: &Stranger, socket: Socket) -> core::result::Result<(), Refusal> {
    let Stranger { shared, from, .. } = stranger;
    let (opening, shown) = secure(stranger, &socket)?;
    let mut connection = Connection::new(socket, opening).map_err(|_| NO_MEMORY)?;
    let Ok(Body::Hello(hello)) = connection.hear(HELLO_MS, || !stranger.must_go()) else {
        return Err("it does not say who it is".into());
    };
    stranger.is_known();
    let roster = &shared.roster;
    let hello = match hello.check(roster.own, roster.protocol) {
        Ok(hello) => hello,
        Err(mismatch) => {
            tell(roster, &mut connection, &hello);
            return Err(Refusal::of(&hello, mismatch, roster.own, roster.protocol));
        }
    };
    let tcp = roster
        .find(hello.introduction.node)
        .ok_or("it is of a node that is not expected")?;
    let setup = tcp.setup();
    if setup.role != Role::Listen(shared.address) {
        return Err("its node is expected elsewhere".into());
    }
    if !setup.may_come_from(from) {
        return Err(FROM_ELSEWHERE.into());
    }
    // Who was expected here may have changed since the connection was made.
    if setup.security.opening() != opening {
        return Err("its node is expected with other security".into());
    }
    setup.security.check(shown.as_ref())?;
    connection
        .set_options(&super::setup::options(hello.channel))
        .map_err(|_| "it is gone")?;
    tcp.arrive(Arrival { connection, hello });
    Ok(())
}

/// Protects the connection, as is usual at that address; how, and what the other side has shown.
fn secure(
    stranger: &Stranger,
    socket: &Socket,
) -> core::result::Result<(security::Opening, Option<Peer>), &'static str> {
    let shared = &stranger.shared;
    let mut keys = KVec::new();
    for tcp in shared.roster.expected_at(shared.address) {
        if let Some(key) = tcp.setup().security.key() {
            keys.push(key, GFP_KERNEL).map_err(|_| NO_MEMORY)?;
        }
    }
    let one = shared.roster.expected_at(shared.address).next();
    let one = one.ok_or("nobody is expected there any more")?;
    let security = &one.setup().security;
    let shown = security
        .accepted(socket, &keys, || stranger.must_go())
        .map_err(unproven)?;
    Ok((security.opening(), shown))
}

/// Why a handshake failed, as far as that is known; some of it is not the other side's fault.
fn unproven(error: Error) -> &'static str {
    match error {
        _ if error == ESRCH => "no tlshd runs here (docs/tls.md)",
        _ if error == errno::not_supported() => "this kernel has no TLS handshakes",
        _ if error == errno::canceled() => {
            "others have taken its place, or it is not expected any more"
        }
        _ if error == EAGAIN => "too many shake hands here at once",
        _ if error == ENOMEM => NO_MEMORY,
        _ => "it does not prove who it is",
    }
}

/// Lets who is of another build, or means another node, see that for itself.
fn tell(roster: &Roster, connection: &mut Connection, to: &Hello) {
    let Some(peer) = NodeId::new(u64::from(to.source)) else {
        return;
    };
    let own = new_life();
    let checked = Checked {
        channel: Channel::new(to.channel).unwrap_or(Channel::Urgent),
        attempt: 0,
        greeting: Greeting {
            own,
            accepted: None,
            received: [0; 2],
        },
        introduction: Introduction {
            node: roster.own,
            incarnation: own,
            protocol: roster.protocol,
            cpus: 0,
            memory: 0,
            name: [0; NAME_LEN],
        },
    };
    // It may be gone.
    connection
        .say_hello(&Hello::of(&checked, peer), TELL_MS)
        .ok();
}

// SPDX-License-Identifier: GPL-2.0
//! KUnit: two or more endpoints in one kernel, over ordinary memory. Their doorbells are real
//! interrupts, which this kernel sends to itself.
//!
//! The suite is in `suite_kunit.c`.

/// The declarations of requests of these types, of any length, for tests that send bytes.
macro_rules! requests {
    ($($kind:expr),+) => { any_length!(request $($kind),+) };
}

/// As [`requests`], but one-way.
macro_rules! one_ways {
    ($($kind:expr),+) => { any_length!(one_way $($kind),+) };
}

macro_rules! any_length {
    ($class:ident $($kind:expr),+) => {{
        const LIST: &[popcorn_core::message::Declared] = &[$(
            popcorn_core::message::Declared::$class("Test", $kind, 0)
                .tail(0, popcorn_core::wire::PAYLOAD_MAX)
        ),+];
        const MESSAGES: popcorn_core::message::Messages =
            popcorn_core::message::Messages::new(LIST);
        MESSAGES
    }};
}

mod calls;
mod declared;
mod doorbells;
mod hostile;
mod late;
mod line;
mod lives;
mod members;
mod multicast;
mod pages;
mod parting;
mod proxy;
mod rounds;
#[path = "statistics_tests.rs"]
mod statistics_tests;
mod taking;
mod tcp;

use crate::endpoint::CallOptions;
use crate::endpoint::Endpoint;
use crate::request::Request;
use crate::service::Handler;
use crate::service::NodeEvent;
use crate::settings::Settings;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::ring::Producer;
use popcorn_core::window;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_kernel::check;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Failure;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::kunit_cases;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::time;

const WINDOW: usize = 2 << 20;
const OPTIONS: CallOptions = CallOptions::killable(LONG_MS);
const PROTOCOL: u64 = 0x7e57;
/// Few, so that the test of back-pressure needs few workers.
const QUEUED: u32 = 16;

kunit_cases! {
    "popcorn_msg", "popcorn_msg/tests.rs";
    popcorn_msg_test_echo = calls::echo;
    popcorn_msg_test_errors = calls::errors;
    popcorn_msg_test_late_reply = calls::late_reply;
    popcorn_msg_test_left_call = calls::left_call;
    popcorn_msg_test_one_deadline = calls::one_deadline;
    popcorn_msg_test_order = calls::order;
    popcorn_msg_test_back_pressure = calls::back_pressure;
    popcorn_msg_test_waiting_requests = calls::waiting_requests;
    popcorn_msg_test_no_answer_taken = calls::no_answer_taken;
    popcorn_msg_test_leave_and_return = lives::leave_and_return;
    popcorn_msg_test_left_alone = lives::left_alone;
    popcorn_msg_test_death = lives::death;
    popcorn_msg_test_told_first = lives::told_first;
    popcorn_msg_test_all_told = lives::all_told;
    popcorn_msg_test_never_accepted = lives::never_accepted;
    popcorn_msg_test_garbage = lives::garbage;
    popcorn_msg_test_mismatch = lives::mismatch;
    popcorn_msg_test_doorbell = doorbells::doorbell;
    popcorn_msg_test_doorbell_moves = doorbells::doorbell_moves;
    popcorn_msg_test_doorbell_asleep = doorbells::only_asleep;
    popcorn_msg_test_doorbell_poller = doorbells::poller_says_so;
    popcorn_msg_test_doorbell_polled = doorbells::polled;
    popcorn_msg_test_doorbell_adaptive = doorbells::adaptive;
    popcorn_msg_test_rounds_budget = rounds::budget;
    popcorn_msg_test_rounds_go_on = rounds::go_on;
    popcorn_msg_test_registration = calls::registration;
    popcorn_msg_test_many_callers = calls::many_callers;
    popcorn_msg_test_multicast_all_answer = multicast::all_answer;
    popcorn_msg_test_multicast_by_all_transports = multicast::by_all_transports;
    popcorn_msg_test_multicast_some_fail = multicast::some_fail;
    popcorn_msg_test_multicast_any_order = multicast::any_order;
    popcorn_msg_test_multicast_out_of_time = multicast::out_of_time;
    popcorn_msg_test_multicast_interrupted = multicast::interrupted;
    popcorn_msg_test_multicast_no_room = multicast::no_room;
    popcorn_msg_test_declared = declared::declared;
    popcorn_msg_test_undeclared_answers = declared::answers;
    popcorn_msg_test_pages = pages::in_shared_memory;
    popcorn_msg_test_part_in_order = parting::in_order;
    popcorn_msg_test_part_refused = parting::refused;
    popcorn_msg_test_part_too_slow = parting::too_slow;
    popcorn_msg_test_part_called_off = parting::called_off;
    popcorn_msg_test_part_from_lost = parting::from_lost;
    popcorn_msg_test_part_both = parting::both;
    popcorn_msg_test_tcp_echo = tcp::echo;
    popcorn_msg_test_tcp_by_ipv6 = tcp::by_ipv6;
    popcorn_msg_test_tcp_options = tcp::options;
    popcorn_msg_test_tcp_errors = tcp::errors;
    popcorn_msg_test_tcp_broken_connections = tcp::broken_connections;
    popcorn_msg_test_tcp_silence = tcp::silence;
    popcorn_msg_test_tcp_leaves_and_returns = tcp::leaves_and_returns;
    popcorn_msg_test_tcp_strangers = tcp::strangers;
    popcorn_msg_test_tcp_silent_ones = tcp::silent_ones;
    popcorn_msg_test_tcp_back_pressure = tcp::back_pressure;
    popcorn_msg_test_tcp_many_callers = tcp::many_callers;
    popcorn_msg_test_tcp_pages = pages::without_a_copy;
    popcorn_msg_test_tcp_pages_again = pages::again;
    popcorn_msg_test_tcp_half_open_bulk = taking::half_open_bulk;
    popcorn_msg_test_tcp_deaf_bulk = taking::deaf_bulk;
    popcorn_msg_test_tcp_takes_no_bulk = taking::takes_no_bulk;
    popcorn_msg_test_tcp_never_connects_bulk = taking::never_connects_bulk;
    popcorn_msg_test_tcp_one_bulk_answer = taking::one_bulk_answer;
    popcorn_msg_test_tcp_late_hello = late::late_hello;
    popcorn_msg_test_tcp_next_session = late::next_session;
    popcorn_msg_test_members_two = members::two;
    popcorn_msg_test_members_short_cut = members::short_cut;
    popcorn_msg_test_members_three = members::three;
    popcorn_msg_test_members_restart = members::restart;
    popcorn_msg_test_members_leave = members::leave;
    popcorn_msg_test_members_leave_one = members::leave_one;
    popcorn_msg_test_members_leave_lost = members::leave_lost;
    popcorn_msg_test_members_lost_goodbye = members::lost_goodbye;
    popcorn_msg_test_members_force = members::force;
    popcorn_msg_test_statistics = statistics_tests::exact;
    popcorn_msg_test_failed_calls = statistics_tests::failed_calls;
    popcorn_msg_test_stalls = statistics_tests::stalls;
    popcorn_msg_test_many_types = statistics_tests::many_types;
}

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap_or(NodeId::PRIMARY)
}

/// An endpoint that is shut down at the end of its test.
struct TestNode(Arc<Endpoint>);

impl TestNode {
    fn new(id: u64, protocol: u64, dead_ms: u32) -> Result<Self> {
        Self::with(id, Self::settings(protocol, dead_ms))
    }

    /// One that agrees with others on who is a member.
    fn member(id: u64, dead_ms: u32) -> Result<Self> {
        let settings = Settings {
            agrees: true,
            ..Self::settings(PROTOCOL, dead_ms)
        };
        Self::with(id, settings)
    }

    /// One that looks for messages for so long before it sleeps.
    fn looking(id: u64, poll_us: u32) -> Result<Self> {
        let settings = Settings {
            poll_us: Some(poll_us),
            ..Self::settings(PROTOCOL, 10 * LONG_MS)
        };
        Self::with(id, settings)
    }

    fn settings(protocol: u64, dead_ms: u32) -> Settings {
        Settings {
            protocol,
            dead_ms: Some(dead_ms),
            queued: Some(QUEUED),
            poll_us: None,
            agrees: false,
        }
    }

    fn with(id: u64, settings: Settings) -> Result<Self> {
        Ok(Self(Endpoint::new(node(id), settings)?))
    }
}

impl core::ops::Deref for TestNode {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.0
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

/// Nodes 0 and 1, online, and the memory between them.
fn two_nodes() -> Result<(TestNode, TestNode, SharedMemory)> {
    let memory = SharedMemory::allocate(WINDOW)?;
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let one = TestNode::new(1, PROTOCOL, LONG_MS)?;
    zero.attach(node(1), memory.clone())?;
    one.attach(node(0), memory.clone())?;
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    Ok((zero, one, memory))
}

/// A peer of a test node that does what the test does by hand, and nothing by itself.
struct Puppet {
    header: window::Header<SharedMemory>,
    peer_header: window::Header<SharedMemory>,
    /// Of its ring of requests.
    producer: Producer<SharedMemory>,
    /// The next one that it sends, but for its sequence number.
    request: wire::Header,
    beats: u64,
    memory: SharedMemory,
}

impl Puppet {
    /// Node `id`, greater than that of `peer`, which finds it online.
    fn join(peer: &TestNode, id: u64) -> core::result::Result<Self, Failure> {
        let memory = SharedMemory::allocate(WINDOW)?;
        let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
        let ring = layout.ring(Side::High, Lane::Requests);
        let incarnation = Incarnation::new(1).ok_or(EINVAL)?;
        let puppet = Self {
            header: window::Header::new(memory.clone(), Side::High),
            peer_header: window::Header::new(memory.clone(), Side::Low),
            producer: Producer::new(&memory, ring, layout.capacity()).map_err(|_| EINVAL)?,
            request: wire::Header {
                kind: 0,
                class: Class::Request,
                flags: 0,
                source: node(id),
                destination: peer.node(),
                length: 0,
                status: 0,
                sequence: 0,
                request: RequestId::new(0, 1).to_wire(),
                incarnation,
            },
            beats: 0,
            memory: memory.clone(),
        };
        peer.attach(node(id), memory)?;
        let introduction = window::Introduction {
            node: node(id),
            incarnation,
            protocol: PROTOCOL,
            cpus: 1,
            memory: 1,
            name: [0; window::NAME_LEN],
        };
        puppet.header.introduce(&introduction, None);
        check!(eventually(|| puppet.peer_header.accepts(incarnation)));
        let peer_life = Incarnation::new(puppet.peer_header.incarnation());
        puppet.header.accept(peer_life);
        peer.wait_online(node(id), LONG_MS)?;
        Ok(puppet)
    }

    fn beat(&mut self) {
        self.beats += 1;
        self.header.set_heartbeat(self.beats);
    }

    /// Sends a request without a payload; false: there is no room.
    fn ask(&mut self, kind: u16) -> bool {
        self.beat();
        self.request.kind = kind;
        let pushed = self.producer.push(&[&self.request.encode()]).is_ok();
        if pushed {
            self.producer.publish();
            self.request.sequence += 1;
        }
        pushed
    }
}

/// Answers only when the gate is open; counts.
struct Gate {
    open: AtomicBool,
    begun: AtomicU32,
    done: AtomicU32,
    /// Those of them whose sender's life was over when the gate opened.
    posthumous: AtomicU32,
}

impl Gate {
    const fn new() -> Self {
        Self {
            open: AtomicBool::new(false),
            begun: AtomicU32::new(0),
            done: AtomicU32::new(0),
            posthumous: AtomicU32::new(0),
        }
    }

    fn reset(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.begun.store(0, Ordering::SeqCst);
        self.done.store(0, Ordering::SeqCst);
        self.posthumous.store(0, Ordering::SeqCst);
    }

    /// Waits until it is open.
    fn pass(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        // Not often: there may be hundreds of these.
        while !self.open.load(Ordering::SeqCst) {
            time::sleep_ms(100);
        }
    }
}

impl Handler for Gate {
    fn request(&self, _from: NodeId, request: Request) {
        self.pass();
        if !request.is_live() {
            self.posthumous.fetch_add(1, Ordering::SeqCst);
        }
        self.done.fetch_add(1, Ordering::SeqCst);
        request.reply(0, &[b"gate"]).ok();
    }
}

/// Opens a gate at the end of a test, also of one that fails, so that its workers end.
struct Opens(&'static Gate);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open.store(true, Ordering::SeqCst);
    }
}

/// Counts what happens to nodes.
struct Events {
    online: AtomicU32,
    left: AtomicU32,
    dead: AtomicU32,
}

impl Events {
    const fn new() -> Self {
        Self {
            online: AtomicU32::new(0),
            left: AtomicU32::new(0),
            dead: AtomicU32::new(0),
        }
    }

    fn counts(&self) -> (u32, u32, u32) {
        let get = |counter: &AtomicU32| counter.load(Ordering::SeqCst);
        (get(&self.online), get(&self.left), get(&self.dead))
    }

    fn reset(&self) {
        for counter in [&self.online, &self.left, &self.dead] {
            counter.store(0, Ordering::SeqCst);
        }
    }
}

impl Handler for Events {
    fn request(&self, _from: NodeId, _request: Request) {}

    fn node_event(&self, _node: NodeId, event: NodeEvent) {
        let counter = match event {
            NodeEvent::Online => &self.online,
            NodeEvent::Left => &self.left,
            NodeEvent::Dead => &self.dead,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// A call to `peer` in a thread of its own, and how it ended (0 while it has not).
fn call_aside(from: &TestNode, kind: u16, result: &'static AtomicU32) -> Result<Kthread> {
    let endpoint = from.0.clone();
    result.store(0, Ordering::SeqCst);
    Kthread::spawn(c_str!("popcorn test"), move || {
        let ended = match endpoint.call(node(1), kind, &[], OPTIONS) {
            Ok(_) => 1,
            Err(error) => error.to_errno().unsigned_abs(),
        };
        result.store(ended, Ordering::SeqCst);
    })
}

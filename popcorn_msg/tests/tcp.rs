// SPDX-License-Identifier: GPL-2.0
//! Two endpoints of one kernel that talk by TCP, through a network that breaks.

use super::calls::come_back;
use super::calls::Number;
use super::check;
use super::eventually;
use super::node;
use super::proxy::Proxy;
use super::statistics_tests::retries;
use super::Events;
use super::Outcome;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use super::PROTOCOL;
use crate::ping::ECHO;
use crate::ping::ECHO_BY_WORKER;
use crate::request::Request;
use crate::service::Handler;
use crate::tcp::security::Security;
use crate::tcp::setup;
use crate::tcp::setup::Role;
use crate::tcp::Setup;

use kernel::c_str;
use kernel::prelude::*;

use core::net::IpAddr;
use core::net::Ipv6Addr;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::address::Address;
use popcorn_core::ids::NodeId;
use popcorn_core::messages;
use popcorn_core::stream::Channel;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_kernel::connections;
use popcorn_kernel::connections::Ends;
use popcorn_kernel::connections::Side;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::socket::Listener;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::time;

/// Each case has ports of its own: those of the former may linger.
pub(super) fn ports(case: u16) -> (Address, Address) {
    let port = 17_000 + 2 * case;
    (Address::loopback(port), Address::loopback(port + 1))
}

pub(super) fn listens(address: Address) -> Setup {
    Setup {
        role: Role::Listen(address),
        from: None,
        security: Security::Clear,
    }
}

pub(super) fn connects(address: Address) -> Setup {
    Setup {
        role: Role::Connect(address),
        from: None,
        security: Security::Clear,
    }
}

/// Node 0 listens, and node 1 connects to it, through a proxy; both are online.
pub(super) fn two_nodes(
    case: u16,
    dead_ms: u32,
) -> core::result::Result<(TestNode, TestNode, Proxy), super::Failure> {
    let (near, far) = ports(case);
    let proxy = Proxy::new(near, far)?;
    let zero = TestNode::new(0, PROTOCOL, dead_ms)?;
    let one = TestNode::new(1, PROTOCOL, dead_ms)?;
    zero.connect(node(1), listens(far))?;
    one.connect(node(0), connects(near))?;
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    Ok((zero, one, proxy))
}

/// Payloads of all kinds of lengths come back; none is longer than there can be.
pub(super) fn echo() -> Outcome {
    let (zero, one, _proxy) = two_nodes(0, LONG_MS)?;
    let lengths = [0, 1, 7, 64, 2048, 2049, 4096, 65000, PAYLOAD_MAX];
    come_back(&zero, &one, &lengths)?;
    zero.ping(node(1), 64, 20, false)?;
    // Nothing broke.
    check!(retries(&zero, 1)? == 0 && retries(&one, 0)? == 0);
    let long = KVec::from_elem(0u8, PAYLOAD_MAX, GFP_KERNEL)?;
    let too_long = zero.call(node(1), ECHO, &[&long, &[0]], OPTIONS).err();
    check!(too_long == Some(errno::message_size()));
    check!(!zero.shares_memory(node(1)));
    Ok(())
}

/// By IPv6, from that host alone; another is refused.
pub(super) fn by_ipv6() -> Outcome {
    if !cfg!(CONFIG_IPV6) {
        return Ok(());
    }
    let address = |port| Address::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
    let port = ports(16).0.port();
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let one = TestNode::new(1, PROTOCOL, LONG_MS)?;
    let expects = |from| Setup {
        from: Some(from),
        ..listens(address(port))
    };
    zero.connect(node(1), expects(Address::loopback(1)))?;
    one.connect(node(0), connects(address(port)))?;
    check!(zero.wait_online(node(1), 1000).is_err());
    zero.leave_at_once(node(1))?;
    zero.connect(node(1), expects(address(1)))?;
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    come_back(&zero, &one, &[0, 64, 9000])
}

/// Both ends of both connections send at once, and look after a silent peer as is said in `setup.rs`: within ten seconds.
pub(super) fn options() -> Outcome {
    let (_, far) = ports(12);
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let one = TestNode::new(1, PROTOCOL, LONG_MS)?;
    zero.connect(node(1), listens(far))?;
    one.connect(node(0), connects(far))?;
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    for side in [Side::Connected, Side::Accepted] {
        for channel in [Channel::Urgent, Channel::Bulk] {
            let options = setup::options(channel);
            let gone_s = options.keep_idle_s + options.keep_interval_s * options.keep_count;
            check!(gone_s <= 10 && (1..=10_000).contains(&options.user_timeout_ms));
            // By its priority it is one of the two.
            let expected = Ends {
                all: 2,
                at_once: 2,
                as_asked: 1,
            };
            check!(eventually(|| {
                connections::to(far.port(), side, &options) == expected
            }));
        }
    }
    Ok(())
}

/// Each mistake has its own errno, and what is taken is given back.
pub(super) fn errors() -> Outcome {
    let (near, far) = ports(1);
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    check!(zero.connect(node(0), connects(near)).err() == Some(EINVAL));
    zero.connect(node(1), listens(far))?;
    check!(zero.connect(node(1), listens(near)).err() == Some(EEXIST));
    let call = zero.call(node(1), ECHO, &[], OPTIONS).err();
    check!(call == Some(errno::host_down()));
    // Two may be expected at one address; it is free when neither is.
    zero.connect(node(2), listens(far))?;
    check!(Listener::new(&far, 1).is_err());
    zero.detach(node(1))?;
    check!(Listener::new(&far, 1).is_err());
    zero.detach(node(2))?;
    check!(zero.detach(node(2)).err() == Some(ENODEV));
    drop(Listener::new(&far, 1)?);
    Ok(())
}

/// Counts messages, and those that are out of order.
struct InOrder {
    next: AtomicU32,
    wrong: AtomicU32,
}

impl InOrder {
    const fn new() -> Self {
        Self {
            next: AtomicU32::new(0),
            wrong: AtomicU32::new(0),
        }
    }

    fn reset(&self) {
        self.next.store(0, Ordering::SeqCst);
        self.wrong.store(0, Ordering::SeqCst);
    }
}

impl Handler for InOrder {
    fn request(&self, _from: NodeId, _request: Request) {
        self.wrong.fetch_add(1, Ordering::SeqCst);
    }

    fn urgent(&self, _from: NodeId, request: Request) -> Option<Request> {
        let expected = self.next.fetch_add(1, Ordering::SeqCst);
        let value = request
            .decode_prefix::<Number>()
            .map(|(number, _)| number.value);
        if value != Ok(expected) {
            self.wrong.fetch_add(1, Ordering::SeqCst);
        }
        None
    }
}

/// The connections break, again and again, in the middle of whatever it is: nothing is lost, doubled or
/// out of order, and nobody notices.
pub(super) fn broken_connections() -> Outcome {
    static IN_ORDER: InOrder = InOrder::new();
    static EVENTS: Events = Events::new();
    const NUMBERS: u32 = 1200;
    IN_ORDER.reset();
    EVENTS.reset();
    let (zero, one, proxy) = two_nodes(2, LONG_MS)?;
    zero.settle();
    let _service = one.register(messages![Number], &IN_ORDER)?;
    let _events = zero.register(requests!(0x531), &EVENTS)?;
    let faults = &proxy.faults;
    let large = KVec::from_elem(7u8, 9000, GFP_KERNEL)?;
    for value in 0..NUMBERS {
        if value % 100 == 0 {
            // At odd places of frames, each time another.
            let after = 1 + u64::from(value) * 37 % 9973;
            faults.cut_after.store(after, Ordering::SeqCst);
        }
        let tail = large.get(..(value as usize * 7) % 9000).unwrap_or(&[]);
        zero.post_typed(node(1), &Number { value }, &[tail])?;
        if value % 50 == 0 {
            // Answers that are short and long, over both connections.
            let response = zero.call(node(1), ECHO, &[&large], OPTIONS)?;
            check!(response.payload() == &large[..]);
            let response = one.call(node(0), ECHO_BY_WORKER, &[b"short"], OPTIONS)?;
            check!(response.payload() == b"short");
        }
    }
    check!(eventually(
        || IN_ORDER.next.load(Ordering::SeqCst) == NUMBERS
    ));
    check!(IN_ORDER.wrong.load(Ordering::SeqCst) == 0);
    check!(faults.cuts.load(Ordering::SeqCst) >= 10);
    check!(EVENTS.counts() == (0, 0, 0));
    // What was on its way when a cut came; and it came once, nevertheless.
    check!(retries(&zero, 1)? != 0);
    check!(eventually(|| match (zero.nodes(), one.nodes()) {
        (Ok(zero), Ok(one)) => zero[1].sent == one[0].received && one[0].sent == zero[1].received,
        _ => false,
    }));
    Ok(())
}

/// Nothing passes any more, and nobody says so: the peer is dead after the time that is set, its calls fail;
/// when the network is back, another life begins.
pub(super) fn silence() -> Outcome {
    static EVENTS: Events = Events::new();
    EVENTS.reset();
    let (zero, one, proxy) = two_nodes(3, 3000)?;
    zero.settle();
    let _events = zero.register(requests!(0x531), &EVENTS)?;
    let before = zero.link(node(1)).and_then(|link| link.introduction());
    proxy.faults.swallows.store(true, Ordering::SeqCst);
    let host_down = Some(errno::host_down());
    check!(zero.call(node(1), ECHO, &[b"lost"], OPTIONS).err() == host_down);
    check!(!zero.is_online(node(1)));
    check!(eventually(|| EVENTS.counts() == (0, 0, 1)));
    check!(eventually(|| !one.is_online(node(0))));
    proxy.faults.swallows.store(false, Ordering::SeqCst);
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    check!(zero.call(node(1), ECHO, &[b"again"], OPTIONS)?.payload() == b"again");
    let after = zero.link(node(1)).and_then(|link| link.introduction());
    let lives = (
        before.map(|peer| peer.incarnation),
        after.map(|peer| peer.incarnation),
    );
    check!(lives.0 != lives.1);
    check!(eventually(|| EVENTS.counts() == (1, 0, 1)));
    Ok(())
}

/// A node that leaves, and one that vanishes and comes back as another, knowing nothing.
pub(super) fn leaves_and_returns() -> Outcome {
    static EVENTS: Events = Events::new();
    EVENTS.reset();
    let (near, _) = ports(4);
    let (zero, one, proxy) = two_nodes(4, LONG_MS)?;
    zero.settle();
    let _events = zero.register(requests!(0x531), &EVENTS)?;
    one.detach(node(0))?;
    check!(eventually(|| EVENTS.counts() == (0, 1, 0)));
    one.connect(node(0), connects(near))?;
    zero.wait_online(node(1), LONG_MS)?;
    check!(zero.call(node(1), ECHO, &[b"again"], OPTIONS)?.payload() == b"again");
    check!(eventually(|| EVENTS.counts() == (1, 1, 0)));
    // What it says at its end is not heard.
    proxy.faults.swallows.store(true, Ordering::SeqCst);
    drop(one);
    proxy.faults.cut_after.store(0, Ordering::SeqCst);
    check!(eventually(|| proxy.faults.cuts.load(Ordering::SeqCst) == 1));
    let one = TestNode::new(1, PROTOCOL, LONG_MS)?;
    one.connect(node(0), connects(near))?;
    proxy.faults.swallows.store(false, Ordering::SeqCst);
    check!(eventually(|| EVENTS.counts() == (2, 1, 1)));
    one.wait_online(node(0), LONG_MS)?;
    check!(one.call(node(0), ECHO, &[b"new"], OPTIONS)?.payload() == b"new");
    Ok(())
}

/// Others who connect: they say nothing, or nonsense, or are of another build. The peer does not notice.
pub(super) fn strangers() -> Outcome {
    let (_, far) = ports(5);
    let (zero, one, _proxy) = two_nodes(5, LONG_MS)?;
    let mut silent: [Option<Socket>; 24] = [const { None }; 24];
    for slot in &mut silent {
        *slot = Some(Socket::connect(&far, 1000, should_stop)?);
    }
    let noise = Socket::connect(&far, 1000, should_stop)?;
    noise.try_send(&[&[0xa5; 4096]], false)?;
    let other = TestNode::new(1, PROTOCOL + 1, LONG_MS)?;
    other.connect(node(0), connects(far))?;
    let nobody = TestNode::new(5, PROTOCOL, LONG_MS)?;
    nobody.connect(node(0), connects(far))?;
    for _ in 0..20 {
        check!(zero.call(node(1), ECHO, &[b"still"], OPTIONS)?.payload() == b"still");
        check!(one.call(node(0), ECHO, &[b"here"], OPTIONS)?.payload() == b"here");
        time::sleep_ms(20);
    }
    check!(!other.is_online(node(0)) && !nobody.is_online(node(0)));
    // Who is of another build is told so, and says so.
    let protocol = Some(errno::protocol());
    check!(eventually(|| {
        other.call(node(0), ECHO, &[], OPTIONS).err() == protocol
    }));
    check!(zero.is_online(node(1)));
    Ok(())
}

/// As many as there is room for say nothing; who comes after them gets in nevertheless, without waiting for their time to
/// be over.
pub(super) fn silent_ones() -> Outcome {
    const SILENT: usize = 16;
    let (_, far) = ports(8);
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let one = TestNode::new(1, PROTOCOL, LONG_MS)?;
    zero.connect(node(1), listens(far))?;
    let mut left = 0;
    // A machine may be so slow that their time is over.
    for _ in 0..6 {
        let mut silent = KVec::with_capacity(SILENT, GFP_KERNEL)?;
        for _ in 0..SILENT {
            silent.push(Socket::connect(&far, 1000, should_stop)?, GFP_KERNEL)?;
        }
        one.connect(node(0), connects(far))?;
        one.wait_online(node(0), LONG_MS)?;
        let is_open = |one: &&Socket| one.receive_now(&mut [0]).err() == Some(EAGAIN);
        left = silent.iter().filter(is_open).count();
        one.detach(node(0))?;
        check!(eventually(|| !zero.is_online(node(1))));
        if left >= SILENT * 3 / 4 {
            break;
        }
    }
    check!(left >= SILENT * 3 / 4);
    Ok(())
}

/// A receiver that takes no requests does not hold up responses, and its memory is bounded.
pub(super) fn back_pressure() -> Outcome {
    static GATE: super::Gate = super::Gate::new();
    GATE.reset();
    let (zero, one, _proxy) = two_nodes(6, LONG_MS)?;
    let _service = one.register(one_ways!(0x520), &GATE)?;
    let _opens = super::Opens(&GATE);
    let mut posted = 0;
    loop {
        match zero.try_post(node(1), 0x520, &[&[0; 4096]]) {
            Ok(()) => posted += 1,
            Err(error) if error == EAGAIN => break,
            Err(error) => return Err(error.into()),
        }
    }
    // What lies there is what a lane's window takes, and the workers; not more.
    check!((200..2000).contains(&posted));
    // The other direction goes on, and so do responses in this one.
    for _ in 0..10 {
        check!(one.call(node(0), ECHO, &[b"yes"], OPTIONS)?.payload() == b"yes");
    }
    check!(zero.is_online(node(1)));
    GATE.open.store(true, Ordering::SeqCst);
    check!(eventually(|| GATE.done.load(Ordering::SeqCst) == posted));
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    Ok(())
}

/// Many at once, both ways, while the connections break.
pub(super) fn many_callers() -> Outcome {
    static WRONG: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicU32 = AtomicU32::new(0);
    const CALLERS: u32 = 6;
    WRONG.store(0, Ordering::SeqCst);
    DONE.store(0, Ordering::SeqCst);
    let (zero, one, proxy) = two_nodes(7, LONG_MS)?;
    let mut callers = KVec::new();
    for number in 0..CALLERS {
        let (from, to) = if number % 2 == 0 {
            (zero.0.clone(), node(1))
        } else {
            (one.0.clone(), node(0))
        };
        let caller = Kthread::spawn(c_str!("popcorn test"), move || {
            for round in 0..200u32 {
                let value = ((number << 16) | round).to_le_bytes();
                let length = if round % 3 == 0 { 3000 } else { 0 };
                let rest = [0x5a; 3000];
                let rest = rest.get(..length).unwrap_or(&[]);
                let right = from
                    .call(to, ECHO, &[&value, rest], OPTIONS)
                    .is_ok_and(|back| {
                        back.payload().len() == 4 + length && back.payload().starts_with(&value)
                    });
                if !right {
                    WRONG.fetch_add(1, Ordering::SeqCst);
                }
            }
            DONE.fetch_add(1, Ordering::SeqCst);
        })?;
        callers.push(caller, GFP_KERNEL)?;
    }
    check!(eventually(|| {
        proxy.faults.cut_after.store(20_000, Ordering::SeqCst);
        time::sleep_ms(100);
        DONE.load(Ordering::SeqCst) == CALLERS
    }));
    check!(WRONG.load(Ordering::SeqCst) == 0);
    Ok(())
}

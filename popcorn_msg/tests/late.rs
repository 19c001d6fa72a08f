// SPDX-License-Identifier: GPL-2.0
//! KUnit: what comes late, and is meant for what is over: what a peer said on a connection that it has given up, when it
//! has another one; what it is asked, when it is in another life.

use super::check;
use super::eventually;
use super::line::hello_of;
use super::line::Line;
use super::node;
use super::tcp::listens;
use super::tcp::ports;
use super::Events;
use super::Outcome;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use super::PROTOCOL;
use crate::life::new_life;
use crate::ping::ECHO;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Incarnation;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Frame;
use popcorn_core::window::Lane;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::time;

static LONG: [u8; 60_000] = [0x5a; 60_000];

/// Of the one connection that is not late.
const ATTEMPT: u64 = 1000;

/// Asks for an echo on that connection, and hears it.
fn answers(line: &mut Line, life: Incarnation, sequence: u64) -> bool {
    line.ask(ECHO, life, sequence);
    let mut count = 0;
    eventually(|| {
        line.hear();
        count += 1;
        let taken = line.come;
        line.say(Frame::Beat, &Beat { count }, taken);
        line.come[lane_index(Lane::Responses)] == sequence + 1 && !line.is_over
    })
}

/// A hello that is older than the connection: of the same life, which knew less then; of one that was over before. It
/// is not answered, and the session goes on. A later one takes the place of the connection.
pub(super) fn late_hello() -> Outcome {
    static EVENTS: Events = Events::new();
    EVENTS.reset();
    let (address, _) = ports(15);
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let _events = zero.register(requests!(0x525), &EVENTS)?;
    zero.connect(node(1), listens(address))?;
    let (life, former) = (new_life(), new_life());
    let begins = hello_of(life, None, Channel::Urgent, ATTEMPT);
    let (mut line, answer) = Line::new(&address, &begins)?;
    zero.wait_online(node(1), LONG_MS)?;
    check!(answers(&mut line, life, 0) && answers(&mut line, life, 1));
    // What it knew before: as if it had not got the answers that it has acknowledged.
    let known = Incarnation::new(answer.incarnation);
    for (life, known) in [(life, known), (life, None), (former, None)] {
        for attempt in [ATTEMPT - 1, ATTEMPT] {
            let late = hello_of(life, known, Channel::Urgent, attempt);
            check!(Line::new(&address, &late).is_err());
        }
    }
    check!(answers(&mut line, life, 2));
    check!(eventually(|| EVENTS.counts() == (1, 0, 0)));

    let replaces = hello_of(former, None, Channel::Urgent, ATTEMPT + 1);
    let (_line, _) = Line::new(&address, &replaces)?;
    check!(eventually(|| {
        line.hear();
        line.is_over && EVENTS.counts() == (2, 0, 1)
    }));
    Ok(())
}

/// A call that waits for room when its session ends, and another begins at once: who asked hears that it has failed, and
/// may do by himself what he asked for; so the peer is not asked any more.
pub(super) fn next_session() -> Outcome {
    static RESULT: AtomicU32 = AtomicU32::new(0);
    RESULT.store(0, Ordering::SeqCst);
    let (address, _) = ports(17);
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    zero.connect(node(1), listens(address))?;
    let begins = hello_of(new_life(), None, Channel::Urgent, ATTEMPT);
    let (_line, _) = Line::new(&address, &begins)?;
    zero.wait_online(node(1), LONG_MS)?;
    let mut posted = 0;
    let full = loop {
        match zero.try_post(node(1), 0x520, &[&LONG]) {
            Ok(()) => posted += 1,
            Err(error) => break error,
        }
        check!(posted < 100);
    };
    check!(full == EAGAIN && posted > 0);
    let endpoint = zero.0.clone();
    let asker = Kthread::spawn(c_str!("popcorn test"), move || {
        let result = endpoint.call(node(1), 0x560, &[&LONG], OPTIONS);
        let error = result
            .err()
            .map_or(1, |error| error.to_errno().unsigned_abs());
        RESULT.store(error, Ordering::SeqCst);
    })?;
    // It has looked for room.
    time::sleep_ms(200);
    check!(RESULT.load(Ordering::SeqCst) == 0);
    let replaces = hello_of(new_life(), None, Channel::Urgent, ATTEMPT + 1);
    let (mut line, _) = Line::new(&address, &replaces)?;
    check!(eventually(|| RESULT.load(Ordering::SeqCst) != 0));
    let host_down = errno::host_down().to_errno().unsigned_abs();
    check!(RESULT.load(Ordering::SeqCst) == host_down);
    drop(asker);
    zero.wait_online(node(1), LONG_MS)?;
    zero.post(node(1), 0x521, &[])?;
    let mut come = || {
        line.hear();
        line.come[lane_index(Lane::Requests)]
    };
    check!(eventually(|| come() != 0));
    check!(come() == 1);
    Ok(())
}

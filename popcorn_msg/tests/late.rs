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
use super::PROTOCOL;
use crate::life::new_life;
use crate::ping::ECHO;

use kernel::prelude::*;

use popcorn_core::deadline::Deadline;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Frame;
use popcorn_core::window::Lane;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;

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

/// Who found the peer online in one session, and comes to send in the next, is told that it is down: whoever asked has
/// heard that it failed, and may do by himself what he asked for.
pub(super) fn next_session() -> Outcome {
    let (address, _) = ports(17);
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    zero.connect(node(1), listens(address))?;
    let begins = hello_of(new_life(), None, Channel::Urgent, ATTEMPT);
    let (_line, _) = Line::new(&address, &begins)?;
    zero.wait_online(node(1), LONG_MS)?;
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    let former = link.online()?;
    let replaces = hello_of(new_life(), None, Channel::Urgent, ATTEMPT + 1);
    let (mut line, _) = Line::new(&address, &replaces)?;
    check!(eventually(|| link.online().is_ok_and(|now| now != former)));
    let now = link.online()?;
    let send = |session| {
        let (sleep, over) = (Sleep::Killable, Deadline::NONE);
        link.send_request(session, 0x521, Class::OneWay, 0, &[], sleep, over)
    };
    let host_down = Some(errno::host_down());
    check!(send(former).err() == host_down);
    check!(link.try_send_bulk(former, 0x521, &[]).is_err());
    check!(send(now).is_ok() && send(now + 1).err() == host_down);
    let mut come = || {
        line.hear();
        line.come[lane_index(Lane::Requests)]
    };
    check!(eventually(|| come() != 0));
    // What else was sent came before it, or is about to.
    time::sleep_ms(200);
    check!(come() == 1);
    Ok(())
}

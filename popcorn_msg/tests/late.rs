// SPDX-License-Identifier: GPL-2.0
//! KUnit: what a peer said on a connection that it has given up comes late, when it has another one.

use super::check;
use super::eventually;
use super::node;
use super::taking::hello_of;
use super::taking::Line;
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

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::RequestId;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Frame;
use popcorn_core::window::Lane;
use popcorn_core::wire;
use popcorn_core::wire::HEADER_SIZE;

/// Of the one connection that is not late.
const ATTEMPT: u64 = 1000;

/// Asks for an echo on that connection, and hears it.
fn answers(line: &mut Line, life: Incarnation, sequence: u64) -> bool {
    let header = wire::Header {
        kind: ECHO,
        class: Class::Request,
        flags: 0,
        source: node(1),
        destination: node(0),
        length: 0,
        status: 0,
        sequence,
        request: RequestId::new(0, 1).to_wire(),
        incarnation: life,
    };
    let bytes: [u8; HEADER_SIZE] = header.encode();
    let taken = line.come;
    line.send(Frame::Message(Lane::Requests), &bytes, taken);
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

// SPDX-License-Identifier: GPL-2.0
//! What is declared of a message holds: for who sends it, for who gets it, and for the answer.

use super::node;
use super::two_nodes;
use super::TestNode;
use super::OPTIONS;
use crate::ping::ECHO;
use crate::request::Request;
use crate::service::Handler;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::messages;
use popcorn_core::wire::Wire;
use popcorn_core::wire_message;
use popcorn_kernel::check;
use popcorn_kernel::errno;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::log;
use popcorn_kernel::time;

/// After so long, no line of the log suppresses another.
const RATE_LIMIT_MS: u32 = 5100;

/// Most bytes behind the fixed part of a question.
const MOST: usize = 8;

wire_message! {
    /// A question.
    pub struct Question = 0x5b0, request -> Reply, tail 1..=MOST {
        /// How to answer.
        how: u32,
    }

    /// Its answer.
    pub struct Reply = 0x5b1, response, tail 0..=4 {
        /// What was asked.
        how: u32,
    }

    /// News, which are heard at once.
    pub struct News = 0x5b2, one_way, urgent {
        /// To be heard by a worker.
        is_long: u32,
    }
}

const RIGHT: u32 = 0;
const TOO_LONG: u32 = 1;
const TOO_SHORT: u32 = 2;
const REFUSED_HERE: u32 = 3;

/// Counts what came to it, and how.
struct Service {
    questions: AtomicU32,
    news: AtomicU32,
    long_news: AtomicU32,
    /// What is not as declared.
    wrong: AtomicU32,
}

impl Service {
    const fn new() -> Self {
        Self {
            questions: AtomicU32::new(0),
            news: AtomicU32::new(0),
            long_news: AtomicU32::new(0),
            wrong: AtomicU32::new(0),
        }
    }

    fn reset(&self) {
        for counter in [&self.questions, &self.news, &self.long_news, &self.wrong] {
            counter.store(0, Ordering::SeqCst);
        }
    }

    /// Questions, news, news that were heard by a worker, what is wrong.
    fn counts(&self) -> [u32; 4] {
        [&self.questions, &self.news, &self.long_news, &self.wrong]
            .map(|counter| counter.load(Ordering::SeqCst))
    }

    fn answer(&self, request: Request) -> Result {
        let (question, tail) = request.decode_prefix::<Question>()?;
        if !request.wants_reply() || !(1..=MOST).contains(&tail.len()) {
            self.wrong.fetch_add(1, Ordering::SeqCst);
        }
        self.questions.fetch_add(1, Ordering::SeqCst);
        let reply = Reply { how: question.how };
        match question.how {
            TOO_LONG => request.reply(0, &[&[0; Reply::SIZE + 5]]),
            TOO_SHORT => request.reply(0, &[&[0; Reply::SIZE - 1]]),
            REFUSED_HERE => request.reply_with(&reply, &[&[0; 5]]),
            _ => request.reply_with(&reply, &[b"tail"]),
        }
    }
}

impl Handler for Service {
    fn request(&self, _from: NodeId, request: Request) {
        let counter = match request.kind() {
            Question::TYPE => {
                // What fails is answered when it is dropped.
                self.answer(request).ok();
                return;
            }
            News::TYPE => &self.long_news,
            _ => &self.wrong,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    fn urgent(&self, _from: NodeId, request: Request) -> Option<Request> {
        let counter = match request.decode::<News>() {
            Ok(news) if news.is_long != 0 && !request.wants_reply() => return Some(request),
            Ok(_) if !request.wants_reply() => &self.news,
            _ => &self.wrong,
        };
        counter.fetch_add(1, Ordering::SeqCst);
        None
    }
}

/// Messages of a type that have come to `to` from node 0, and those of them that reached nobody.
fn came(to: &TestNode, kind: u16) -> (u64, u64) {
    to.link(node(0)).map_or((0, 0), |link| {
        let received = &link.statistics().row(kind).received;
        (received.messages.get(), received.lost.get())
    })
}

/// What is of another class, too short or too long is not sent if it is typed; who sends it nevertheless learns it if
/// he asks; it is counted and in the log, and no service sees it. What is right comes where it shall.
pub(super) fn declared() -> Outcome {
    static SERVICE: Service = Service::new();
    SERVICE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(messages![Question, News], &SERVICE)?;
    let protocol = Some(errno::protocol());
    let size = Some(errno::message_size());
    time::sleep_ms(RATE_LIMIT_MS);
    pr_info!("declared: the case begins\n");

    // Another class, less, more. Each time, the next one that is right is taken.
    let question = Question { how: RIGHT };
    let call = |kind, payload: &[u8]| zero.call(node(1), kind, &[payload], OPTIONS).err();
    zero.post(node(1), Question::TYPE, &[&[0; Question::SIZE + 1]])?;
    check!(zero.request(node(1), &question, &[b"?"], OPTIONS).is_ok());
    check!(call(News::TYPE, &[0; News::SIZE]) == protocol);
    for (kind, wrong) in [
        (Question::TYPE, &[0u8; Question::SIZE] as &[u8]),
        (Question::TYPE, &[]),
        (Question::TYPE, &[0; Question::SIZE + MOST + 1]),
        (Question::TYPE, &[0; 60_000]),
    ] {
        check!(call(kind, wrong) == protocol);
        let response = zero.request(node(1), &question, &[&[0; MOST]], OPTIONS)?;
        let (reply, tail) = response.decode_prefix::<Reply>()?;
        check!(reply.how == RIGHT && tail == b"tail");
    }
    for length in [0, News::SIZE - 1, News::SIZE + 1, 5000] {
        let wrong = KVec::from_elem(0u8, length, GFP_KERNEL)?;
        zero.post(node(1), News::TYPE, &[&wrong])?;
        zero.post_typed(node(1), &News { is_long: 0 }, &[])?;
        zero.post_typed(node(1), &News { is_long: 1 }, &[])?;
    }
    check!(eventually(|| SERVICE.counts() == [5, 4, 4, 0]));
    check!(came(&one, Question::TYPE) == (10, 5));
    check!(came(&one, News::TYPE) == (13, 5));
    let begin = c_str!("declared: the case begins");
    for line in [
        c_str!("message 0x5b0 of node 0 refused: it is of the wrong class"),
        c_str!("message 0x5b2 of node 0 refused: it is of the wrong class"),
    ] {
        check!(log::lines_since(begin, line) == 1);
    }
    check!(
        log::lines_since(
            begin,
            c_str!("message 0x5b0 of node 0 refused: it is too short")
        ) > 0
    );

    // It is not even sent.
    check!(zero.request(node(1), &question, &[], OPTIONS).err() == size);
    let long: [&[u8]; 2] = [&[0; MOST], b"!"];
    check!(zero.request(node(1), &question, &long, OPTIONS).err() == size);
    check!(
        zero.post_typed(node(1), &News { is_long: 0 }, &[b"!"])
            .err()
            == size
    );
    check!(
        zero.try_post_typed(node(1), &News { is_long: 0 }, &[b"!"])
            .err()
            == size
    );
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    check!(came(&one, Question::TYPE) == (10, 5) && came(&one, News::TYPE) == (13, 5));
    // Nobody is dropped for any of it.
    check!(one.is_online(node(0)) && SERVICE.counts() == [5, 4, 4, 0]);
    Ok(())
}

/// An answer that is not as declared is `EPROTO` for who asked, and `EIO` if it was not sent at all.
pub(super) fn answers() -> Outcome {
    static SERVICE: Service = Service::new();
    SERVICE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(messages![Question, News], &SERVICE)?;
    let ask = |how| {
        let response = zero.request(node(1), &Question { how }, &[b"?"], OPTIONS)?;
        response
            .decode_prefix::<Reply>()
            .map(|(reply, _)| reply.how)
    };
    check!(ask(RIGHT) == Ok(RIGHT));
    check!(ask(TOO_LONG) == Err(errno::protocol()));
    check!(ask(TOO_SHORT) == Err(errno::protocol()));
    check!(ask(REFUSED_HERE) == Err(EIO));
    // One that shall have no tail, but has.
    let typed = zero.call_typed(node(1), &Question { how: RIGHT }, &[b"?"], OPTIONS);
    check!(typed.err() == Some(errno::protocol()));
    check!(SERVICE.counts() == [5, 0, 0, 0]);
    Ok(())
}

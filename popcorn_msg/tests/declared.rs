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

/// Lines that come so far apart are all let through.
const PACE_MS: u32 = 1100;

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

/// A message that is not as declared, and what the log says of it.
struct Wrong {
    kind: u16,
    is_call: bool,
    length: usize,
    line: &'static CStr,
}

impl Wrong {
    const fn new(kind: u16, is_call: bool, length: usize, line: &'static CStr) -> Self {
        Self {
            kind,
            is_call,
            length,
            line,
        }
    }
}

const SHORTER: &CStr = c_str!("node 0 is dropped: a message is shorter than declared");
const LONGER: &CStr = c_str!("node 0 is dropped: a message is longer than declared");
const OTHER_CLASS: &CStr =
    c_str!("node 0 is dropped: a message is not of the class that is declared");

const WRONG: &[Wrong] = &[
    Wrong::new(Question::TYPE, false, Question::SIZE + 1, OTHER_CLASS),
    Wrong::new(Question::TYPE, true, 0, SHORTER),
    Wrong::new(Question::TYPE, true, Question::SIZE, SHORTER),
    Wrong::new(Question::TYPE, true, Question::SIZE + MOST + 1, LONGER),
    Wrong::new(Question::TYPE, true, 60_000, LONGER),
    Wrong::new(News::TYPE, true, News::SIZE, OTHER_CLASS),
    Wrong::new(News::TYPE, false, 0, SHORTER),
    Wrong::new(News::TYPE, false, News::SIZE - 1, SHORTER),
    Wrong::new(News::TYPE, false, News::SIZE + 1, LONGER),
    Wrong::new(News::TYPE, false, 5000, LONGER),
];

/// What is of another class, too short or too long is not sent if it is typed. Who sends it nevertheless is dropped, with
/// a line of the log that says why; it is counted, and no service sees it. He may come again.
pub(super) fn declared() -> Outcome {
    static SERVICE: Service = Service::new();
    SERVICE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(messages![Question, News], &SERVICE)?;
    let size = Some(errno::message_size());
    let question = Question { how: RIGHT };
    let lost = || came(&one, Question::TYPE).1 + came(&one, News::TYPE).1;
    time::sleep_ms(RATE_LIMIT_MS);

    for (number, wrong) in (1..).zip(WRONG) {
        pr_info!("declared: the next case begins\n");
        let begin = c_str!("declared: the next case begins");
        let payload = KVec::from_elem(0u8, wrong.length, GFP_KERNEL)?;
        if wrong.is_call {
            check!(zero
                .call(node(1), wrong.kind, &[&payload], OPTIONS)
                .is_err());
        } else {
            zero.post(node(1), wrong.kind, &[&payload])?;
        }
        check!(eventually(|| lost() == number));
        check!(eventually(|| log::lines_since(begin, wrong.line) == 1));
        // In its next life.
        check!(eventually(|| zero
            .request(node(1), &question, &[b"?"], OPTIONS)
            .is_ok()));
        check!(log::lines_since(begin, c_str!("node 0 is dropped: ")) == 1);
        // The log lets five lines of a place through in five seconds.
        time::sleep_ms(PACE_MS);
    }

    // What is right comes where it shall.
    SERVICE.reset();
    for tail in [&[0u8; 1] as &[u8], &[0; MOST]] {
        let response = zero.request(node(1), &question, &[tail], OPTIONS)?;
        let (reply, tail) = response.decode_prefix::<Reply>()?;
        check!(reply.how == RIGHT && tail == b"tail");
    }
    zero.post_typed(node(1), &News { is_long: 0 }, &[])?;
    zero.post_typed(node(1), &News { is_long: 1 }, &[])?;
    check!(eventually(|| SERVICE.counts() == [2, 1, 1, 0]));

    // It is not even sent.
    let before = (came(&one, Question::TYPE), came(&one, News::TYPE));
    check!(zero.request(node(1), &question, &[], OPTIONS).err() == size);
    let long: [&[u8]; 2] = [&[0; MOST], b"!"];
    check!(zero.request(node(1), &question, &long, OPTIONS).err() == size);
    let news = News { is_long: 0 };
    check!(zero.post_typed(node(1), &news, &[b"!"]).err() == size);
    check!(zero.try_post_typed(node(1), &news, &[b"!"]).err() == size);
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    check!((came(&one, Question::TYPE), came(&one, News::TYPE)) == before);
    check!(one.is_online(node(0)) && SERVICE.counts() == [2, 1, 1, 0]);
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

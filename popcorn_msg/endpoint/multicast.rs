// SPDX-License-Identifier: GPL-2.0
//! Calls to several nodes at once: a request is sent to all of them, and then their answers are waited for.
//!
//! What comes back is one acknowledgement that combines them: who answered, and what, and who did not, and why. One
//! that is dead or leaves meanwhile delays nobody. To ask all nodes, ask [`Endpoint::online_nodes`].
//!
//! All memory is taken before anybody is asked, and all places among the outstanding calls are taken together: nobody
//! who has some waits for others.

use super::call::CallOptions;
use super::call::Outstanding;
use super::call::Response;
use super::Endpoint;
use crate::link::Link;
use crate::link::SendError;
use crate::link::ROOM_POLL_MS;
use crate::pending;
use crate::statistics;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::deadline::Deadline;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_kernel::errno;
use popcorn_kernel::time;

/// What became of the request to one node.
struct Answer {
    node: NodeId,
    result: Result<Response>,
    /// It was asked, and the answer is yet to come.
    outstanding: Option<Outstanding>,
}

/// What several nodes have answered to one request: one answer of each. From peers: check every value.
///
/// If it is dropped, answers that are yet to come reach nobody; until then each has a place among the outstanding
/// calls.
#[must_use = "some may have failed"]
pub struct Acknowledgement {
    /// By node id.
    answers: KVec<Answer>,
}

impl Acknowledgement {
    /// What each node has answered, by node id; see [`Endpoint::multicast`] for the errors.
    pub fn answers(&self) -> impl Iterator<Item = (NodeId, Result<&Response>)> {
        self.answers.iter().map(|answer| {
            let result = answer.result.as_ref();
            (answer.node, result.map_err(|error| *error))
        })
    }

    /// What a node has answered; `None`: it was not among those to ask.
    pub fn answer(&self, node: NodeId) -> Option<Result<&Response>> {
        let (_, result) = self.answers().find(|(from, _)| *from == node)?;
        Some(result)
    }

    /// Those that have answered with success.
    pub fn succeeded(&self) -> NodeSet {
        self.those(|answer| answer.result.is_ok())
    }

    /// All others.
    pub fn failed(&self) -> NodeSet {
        self.those(|answer| answer.result.is_err())
    }

    /// Those of which an answer is yet to come: they were asked, and a signal came first, or the time was over.
    pub fn outstanding(&self) -> NodeSet {
        self.those(|answer| answer.outstanding.is_some())
    }

    fn those(&self, which: impl Fn(&Answer) -> bool) -> NodeSet {
        let those = self.answers.iter().filter(|answer| which(answer));
        those.fold(NodeSet::EMPTY, |nodes, answer| nodes.with(answer.node))
    }

    /// Waits for all answers that are yet to come, whatever signals come. May sleep.
    ///
    /// Each ends with the death of its node at the latest.
    pub fn wait(mut self) -> Self {
        for answer in &mut self.answers {
            if let Some(outstanding) = answer.outstanding.take() {
                answer.result = outstanding.wait();
            }
        }
        self
    }
}

/// How far the request to one node is.
enum Progress {
    /// To be sent.
    Begun,
    /// It was asked.
    Sent,
    /// It was not, and will not be.
    Failed(Error),
}

/// A call to one of the nodes.
struct Asked<'a> {
    link: &'a Arc<Link>,
    session: u64,
    call: pending::Call<'a>,
    counted: statistics::Call<'a>,
    /// While it waits for room.
    stall: Option<statistics::Stall<'a>>,
    progress: Progress,
    /// Its answer is looked for before sleeping.
    is_polled: bool,
}

impl<'a> AsMut<pending::Call<'a>> for Asked<'a> {
    fn as_mut(&mut self) -> &mut pending::Call<'a> {
        &mut self.call
    }
}

impl Asked<'_> {
    fn is_unsent(&self) -> bool {
        matches!(self.progress, Progress::Begun)
    }

    fn is_sent(&self) -> bool {
        matches!(self.progress, Progress::Sent)
    }

    /// Sends the request if there is room.
    fn try_send(&mut self, kind: u16, parts: &[&[u8]]) {
        let id = self.call.id();
        let sent = self
            .link
            .try_send_request(self.session, kind, Class::Request, id, parts, true);
        match sent {
            Ok(()) => {
                self.stall = None;
                self.progress = Progress::Sent;
            }
            Err(SendError::Full) => {
                let link = self.link;
                self.stall
                    .get_or_insert_with(|| link.statistics().stall(kind));
            }
            Err(SendError::Failed(error)) => self.fail(error),
        }
    }

    /// It will not be asked.
    fn fail(&mut self, error: Error) {
        self.stall = None;
        self.progress = Progress::Failed(error);
    }
}

impl Endpoint {
    /// [`Endpoint::multicast_typed`] with the bytes of a request.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn multicast(
        &self,
        nodes: NodeSet,
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
    ) -> Result<Acknowledgement> {
        let deadline = options.deadline();
        let number = nodes.len() as usize;
        let mut answers = KVec::with_capacity(number, GFP_KERNEL)?;
        let mut links = KVec::with_capacity(number, GFP_KERNEL)?;
        for node in nodes {
            let link = self.online_link(node);
            let answer = Answer {
                node,
                // Of those that are online this is not the last word.
                result: Err(link.as_ref().err().copied().unwrap_or(EIO)),
                outstanding: None,
            };
            answers.push(answer, GFP_KERNEL)?;
            if let Ok(link) = link {
                links.push(link, GFP_KERNEL)?;
            }
        }
        let mut asked = self.prepare(&links, kind)?;
        self.ask_all(&mut asked, kind, parts, options, deadline);
        self.poll_all(&mut asked, options, deadline);

        let mut rest = answers.iter_mut();
        for each in asked {
            let node = each.link.peer();
            let (result, outstanding) = match each.progress {
                Progress::Sent => self.answer(each.call, each.counted, options.sleep, deadline),
                Progress::Failed(error) => {
                    each.counted.end(Err(error), time::now_ns());
                    (Err(error), None)
                }
                // Not after ask_all().
                Progress::Begun => (Err(EIO), None),
            };
            // Both are in the same order.
            if let Some(answer) = rest.find(|answer| answer.node == node) {
                answer.result = result;
                answer.outstanding = outstanding;
            }
        }
        Ok(Acknowledgement { answers })
    }

    /// All that is needed to ask the peers of `links`.
    fn prepare<'a>(&'a self, links: &'a [(Arc<Link>, u64)], kind: u16) -> Result<KVec<Asked<'a>>> {
        let mut calls = KVec::with_capacity(links.len(), GFP_KERNEL)?;
        for (link, _) in links {
            calls.push(self.core.pending().prepare(link.peer())?, GFP_KERNEL)?;
        }
        let mut asked = KVec::with_capacity(links.len(), GFP_KERNEL)?;
        // From here on nothing fails: what is counted as begun will end.
        for ((link, session), call) in links.iter().zip(calls) {
            let each = Asked {
                link,
                session: *session,
                call,
                counted: link.statistics().call(kind),
                stall: None,
                progress: Progress::Begun,
                is_polled: false,
            };
            asked.push(each, GFP_KERNEL)?;
        }
        Ok(asked)
    }

    /// Sends to each; a peer that has no room delays none of the others. Afterwards each is sent or has failed.
    fn ask_all<'a>(
        &'a self,
        asked: &mut [Asked<'a>],
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
        deadline: Deadline,
    ) {
        let begun = self
            .core
            .pending()
            .begin_all(asked, options.sleep, deadline);
        if let Err(error) = begun {
            asked.iter_mut().for_each(|each| each.fail(error));
            return;
        }
        for each in asked.iter_mut() {
            each.counted.sending(each.call.id(), parts);
        }
        loop {
            for each in asked.iter_mut().filter(|each| each.is_unsent()) {
                each.try_send(kind, parts);
            }
            if !asked.iter().any(Asked::is_unsent) {
                return;
            }
            let room = self.core.room();
            let error = if deadline.is_over(time::now_ns) {
                errno::timed_out()
            } else if room.wait(options.sleep, Some(ROOM_POLL_MS), || false) == Err(EINTR) {
                EINTR
            } else {
                // There may be room now.
                continue;
            };
            let unsent = asked.iter_mut().filter(|each| each.is_unsent());
            unsent.for_each(|each| each.fail(error));
            return;
        }
    }

    /// Looks for the answers, before sleeping, of those with which that is worth it.
    fn poll_all(&self, asked: &mut [Asked<'_>], options: CallOptions, deadline: Deadline) {
        let mut longest_ns = 0;
        for each in asked.iter_mut().filter(|each| each.is_sent()) {
            let poll_ns = self.poll_ns(each.link, options, deadline, &mut each.counted);
            each.is_polled = poll_ns != 0;
            longest_ns = poll_ns.max(longest_ns);
        }
        if longest_ns != 0 {
            self.poll_for(
                asked,
                |each| each.is_polled.then_some((each.link, &*each.call.waiter)),
                longest_ns,
            );
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Every step that can be taken out of a state, and whose decision it is.

use crate::driver::Checked;
use crate::explorer::Successor;
use crate::explorer::Will;
use crate::state::*;
use crate::system::Model;
use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Receipt;

/// A step, for the trace.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "the fields are read by Debug only")]
pub(crate) enum Label {
    Access {
        node: usize,
        page: usize,
        access: Access,
    },
    Ask {
        node: usize,
        page: usize,
        access: Access,
    },
    ToOrigin {
        from: usize,
        page: usize,
        what: &'static str,
    },
    ToRemote {
        to: usize,
        page: usize,
        what: &'static str,
    },
    OriginSupplies {
        page: usize,
    },
    OriginInstalls {
        page: usize,
    },
    OriginCompletes {
        page: usize,
    },
    Map {
        node: usize,
        page: usize,
    },
    SendReceipt {
        node: usize,
    },
    Declines {
        node: usize,
        page: usize,
    },
    Refuses {
        node: usize,
        page: usize,
    },
    Dies {
        node: usize,
    },
    DeathNoticed,
    DeathApplied {
        page: usize,
    },
    Freeze {
        pages: u8,
    },
    Recall {
        page: usize,
    },
    ChangeLayoutAndThaw,
}

/// Collects the steps out of one state.
pub(crate) struct Steps<'a> {
    pub(crate) from: &'a State,
    pub(crate) out: &'a mut Vec<Successor<State, Label>>,
}

impl Steps<'_> {
    fn add(&mut self, will: Will, label: Label, change: impl FnOnce(&mut State) -> Checked) {
        let mut next = *self.from;
        let result = change(&mut next).map(|()| next);
        self.out.push(Successor {
            label,
            will,
            result,
        });
    }
}

impl Model {
    /// Steps of the thread at `index`.
    pub(crate) fn thread_steps(&self, state: &State, index: usize, steps: &mut Steps<'_>) {
        let config = &self.config;
        let mut copy = *state;
        let thread = *copy.thread(index);
        let bound = match thread.activity {
            Activity::Running if thread.accesses_left > 0 => None,
            Activity::Retrying(page, access) => Some((usize::from(page), access)),
            Activity::Granted(page, access, data) => {
                let page = usize::from(page);
                let label = Label::Map { node: index, page };
                steps.add(Will::Own, label, |next| {
                    next.map(index, page, access, data);
                    Ok(())
                });
                if state.common.left.refusals > 0 {
                    let label = Label::Refuses { node: index, page };
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.refusals -= 1;
                        next.remote(index).receipt = Some((page as u8, Receipt::Refused));
                        next.thread(index).activity = Activity::Retrying(page as u8, access);
                        Ok(())
                    });
                }
                return;
            }
            _ => return,
        };
        let owes_receipt = index != ORIGIN && state.remotes[index - 1].receipt.is_some();
        for page in 0..PAGES {
            for access in [Access::Read, Access::Write] {
                if bound.is_some_and(|bound| bound != (page, access)) {
                    continue;
                }
                let here = &state.pages[page];
                let allowed = here.pte[index].allows(access);
                if allowed {
                    let label = Label::Access {
                        node: index,
                        page,
                        access,
                    };
                    steps.add(Will::Own, label, |next| next.touch(index, page, access));
                }
                // A thread at the origin sleeps while the entry is busy or the range is frozen: it
                // has no step. A remote fault ends by sending the receipt.
                let asleep = index == ORIGIN && (here.entry.is_busy() || here.frozen);
                if asleep || owes_receipt {
                    continue;
                }
                let label = Label::Ask {
                    node: index,
                    page,
                    access,
                };
                if !allowed {
                    steps.add(Will::Own, label, |next| {
                        next.fault(index, page, access, config)
                    });
                } else if index != ORIGIN && state.common.left.needless > 0 {
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.needless -= 1;
                        next.fault(index, page, access, config)
                    });
                }
            }
        }
    }

    /// Steps of a remote other than its thread's, and of the channels between it and the origin.
    pub(crate) fn remote_steps(&self, state: &State, index: usize, steps: &mut Steps<'_>) {
        let config = &self.config;
        let remote = &state.remotes[index - 1];
        let may_wait = config.mutation == Mutation::WaitInsteadOfRetry;

        if let Some((page, message)) = remote.requests_out.head() {
            let waits = may_wait
                && matches!(message, Message::Request(_))
                && (state.pages[page].entry.is_busy() || state.pages[page].frozen);
            if !waits {
                let label = Label::ToOrigin {
                    from: index,
                    page,
                    what: "request",
                };
                steps.add(Will::Own, label, |next| {
                    next.remote(index).requests_out.pop();
                    next.arrive_at_origin(index, page, message, config)
                });
            }
        }
        if let Some((page, message)) = remote.responses_out.head() {
            let label = Label::ToOrigin {
                from: index,
                page,
                what: "response",
            };
            steps.add(Will::Own, label, |next| {
                next.remote(index).responses_out.pop();
                next.arrive_at_origin(index, page, message, config)
            });
        }
        if !remote.alive {
            if state.common.known_dead.is_none() {
                steps.add(Will::Own, Label::DeathNoticed, |next| {
                    next.notice_death(index);
                    Ok(())
                });
            }
            return;
        }
        if state.common.left.deaths > 0 {
            steps.add(Will::Adversary, Label::Dies { node: index }, |next| {
                next.common.left.deaths -= 1;
                next.die(index);
                Ok(())
            });
        }
        if let Some((page, message)) = remote.requests_in.head() {
            let waits = may_wait
                && matches!(remote.thread.activity,
                    Activity::Waiting(about, _) if usize::from(about) == page);
            if !waits {
                let label = Label::ToRemote {
                    to: index,
                    page,
                    what: "request",
                };
                steps.add(Will::Own, label, |next| {
                    next.remote(index).requests_in.pop();
                    next.answer_origin(index, page, message, config);
                    Ok(())
                });
            }
            if state.common.left.declines > 0 {
                let label = Label::Declines { node: index, page };
                steps.add(Will::Adversary, label, |next| {
                    next.common.left.declines -= 1;
                    next.remote(index).requests_in.pop();
                    let declined = Message::Answer(Answer::Declined, None);
                    next.remote(index).responses_out.push(page, declined);
                    Ok(())
                });
            }
        }
        if let Some((page, message)) = remote.responses_in.head() {
            let label = Label::ToRemote {
                to: index,
                page,
                what: "response",
            };
            steps.add(Will::Own, label, |next| {
                next.remote(index).responses_in.pop();
                next.wake_remote(index, message)
            });
        }
        if let Some((page, receipt)) = remote.receipt {
            steps.add(Will::Own, Label::SendReceipt { node: index }, |next| {
                let remote = next.remote(index);
                remote.receipt = None;
                let channel = if config.ack_among_responses {
                    &mut remote.responses_out
                } else {
                    &mut remote.requests_out
                };
                channel.push(usize::from(page), Message::GrantAck(receipt));
                Ok(())
            });
        }
    }

    /// Steps of the origin's driver on one page.
    pub(crate) fn origin_steps(&self, state: &State, page: usize, steps: &mut Steps<'_>) {
        let config = &self.config;
        let here = &state.pages[page];
        match here.task {
            OriginTask::None => {}
            OriginTask::Supply(keep) => {
                steps.add(Will::Own, Label::OriginSupplies { page }, |next| {
                    next.supply(page, keep, config)
                });
                if state.common.left.declines > 0 {
                    let label = Label::Declines { node: ORIGIN, page };
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.declines -= 1;
                        let here = &mut next.pages[page];
                        here.task = OriginTask::None;
                        let step = here.entry.answer(node(ORIGIN), Answer::Declined);
                        next.run(page, step.map_err(|_| "the origin was not asked")?, config)
                    });
                }
            }
            OriginTask::Install { access, data } => {
                steps.add(Will::Own, Label::OriginInstalls { page }, |next| {
                    next.install(page, access, data, config)
                });
                if state.common.left.refusals > 0 {
                    let label = Label::Refuses { node: ORIGIN, page };
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.refusals -= 1;
                        next.origin_receipt(page, Receipt::Refused, config)
                    });
                }
            }
            OriginTask::Installed => {
                steps.add(Will::Own, Label::OriginCompletes { page }, |next| {
                    next.origin_receipt(page, Receipt::Mapped, config)
                });
            }
        }
        if here.death_due {
            steps.add(Will::Own, Label::DeathApplied { page }, |next| {
                next.pages[page].death_due = false;
                let dead = next.common.known_dead.ok_or("nobody died")?;
                let step = next.pages[page].entry.node_lost(node(usize::from(dead)));
                next.run(page, step, config)
            });
        }
        let entry = &here.entry;
        let to_recall = !entry.is_busy() && !entry.is_local() && !entry.is_lost();
        if here.frozen && to_recall && config.mutation != Mutation::NoRecall {
            steps.add(Will::Own, Label::Recall { page }, |next| {
                let step = next.pages[page].entry.begin_recall();
                next.run(page, step.map_err(|_| "recall refused")?, config)
            });
        }
    }

    /// Steps of the thread at the origin that changes the layout.
    pub(crate) fn layout_steps(&self, state: &State, steps: &mut Steps<'_>) {
        if state.common.freezing {
            let no_recall = self.config.mutation == Mutation::NoRecall;
            let ready = state.pages.iter().filter(|page| page.frozen).all(|page| {
                page.entry.is_local()
                    || page.entry.is_lost()
                    || (no_recall && !page.entry.is_busy())
            });
            if ready {
                steps.add(Will::Own, Label::ChangeLayoutAndThaw, State::change_layout);
            }
        } else if state.common.left.freezes > 0 {
            for pages in 1..1 << PAGES {
                steps.add(Will::Adversary, Label::Freeze { pages }, |next| {
                    next.common.left.freezes -= 1;
                    next.common.freezing = true;
                    for page in 0..PAGES {
                        next.pages[page].frozen = (pages >> page) & 1 == 1;
                    }
                    Ok(())
                });
            }
        }
    }
}

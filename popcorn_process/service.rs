// SPDX-License-Identifier: GPL-2.0
//! The messages about threads: see `popcorn_core::proto`. Handlers run in a worker.

use kernel::prelude::*;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_core::wire::Wire;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_msg::Handler;
use popcorn_msg::Limit;
use popcorn_msg::NodeEvent;
use popcorn_msg::Registration;
use popcorn_msg::Request;

use crate::host::Host;
use crate::parting;
use crate::registry::Registry;

struct Service;

/// Answers with an error. If that cannot be sent, nobody waits for it.
pub(crate) fn refuse(request: Request, error: Error) {
    let _ = request.reply_error(error);
}

pub(crate) fn register() -> Result<Registration> {
    popcorn_msg::register(proto::THREAD_MESSAGES, &Service)
}

/// What a message is about, and whether its sender may say so.
fn carrier(
    thread: u64,
    space: u64,
    from: NodeId,
) -> Result<kernel::sync::Arc<crate::carrier::Carrier>> {
    let carrier = Registry::get()?.carriers.get(thread).ok_or(ESRCH)?;
    if carrier.space() != space || carrier.origin() != from {
        return Err(EPERM);
    }
    Ok(carrier)
}

/// A carrier calls its origin thread.
fn to_thread(
    request: Request,
    thread: u64,
    space: u64,
) -> core::result::Result<(), (Request, Error)> {
    let found = Registry::get()
        .ok()
        .and_then(|registry| registry.threads.get(thread));
    match found {
        None => Err((request, ESRCH)),
        Some(thread) => thread
            .deliver(space, request)
            .map_err(|request| (request, EPERM)),
    }
}

fn recall(request: &Request) -> Result {
    let (message, _) = request.decode_prefix::<proto::Recall>()?;
    carrier(message.thread, message.space, request.from())?.recall();
    Ok(())
}

fn abandon(request: &Request) -> Result {
    let (message, _) = request.decode_prefix::<proto::Abandon>()?;
    if !popcorn_page::is_made_by(message.thread, request.from()) {
        return Err(EPERM);
    }
    // First, as in space_exit().
    Registry::get()?.abandoned.insert(message.thread);
    carrier(message.thread, message.space, request.from())?.abandon();
    Ok(())
}

fn space_exit(request: &Request) -> Result {
    let (message, _) = request.decode_prefix::<proto::SpaceExit>()?;
    if !popcorn_page::is_made_by(message.space, request.from()) {
        return Err(EPERM);
    }
    let registry = Registry::get()?;
    // First, for a thread that is on its way here: messages may overtake each other in workers.
    registry.ended.insert(message.space);
    let Some(host) = registry.hosts.get(message.space) else {
        return Ok(());
    };
    host.stop();
    Ok(())
}

fn space_lost(request: &Request) -> Result {
    let (message, _) = request.decode_prefix::<proto::SpaceLost>()?;
    let space = popcorn_page::find(message.space).ok_or(ESRCH)?;
    if !space.nodes().contains(request.from()) {
        return Err(EPERM);
    }
    space.set_lost();
    space.node_lost(request.from());
    wake_threads();
    Ok(())
}

/// Lets each thread that is away look at the state of its node and space again.
fn wake_threads() {
    let Ok(registry) = Registry::get() else {
        return;
    };
    let mut from = 0;
    while let Some((id, thread)) = registry.threads.next(from) {
        from = id + 1;
        thread.look();
    }
}

/// What a message asks for. None of it sleeps but [`proto::SpaceLost`].
fn handle(request: Request) -> core::result::Result<(), (Request, Error)> {
    match request.kind() {
        proto::Migrate::TYPE => Host::arrival(request),
        proto::Syscall::TYPE => match request.decode_prefix::<proto::Syscall>() {
            Ok((message, _)) => to_thread(request, message.thread, message.space),
            Err(error) => Err((request, error)),
        },
        proto::Back::TYPE => match request.decode_prefix::<proto::Back>() {
            Ok((message, _)) => to_thread(request, message.thread, message.space),
            Err(error) => Err((request, error)),
        },
        kind => {
            let result = match kind {
                proto::Recall::TYPE => recall(&request),
                proto::Abandon::TYPE => abandon(&request),
                proto::SpaceExit::TYPE => space_exit(&request),
                proto::SpaceLost::TYPE => space_lost(&request),
                _ => Err(errno::protocol()),
            };
            result.map_err(|error| (request, error))
        }
    }
}

fn handle_or_refuse(request: Request) {
    if let Err((request, error)) = handle(request) {
        if error == errno::protocol() || error == EPERM {
            err_ratelimited!(
                "message {:#x} of node {} refused: {:?}\n",
                request.kind(),
                request.from(),
                error
            );
        }
        refuse(request, error);
    }
}

impl Handler for Service {
    fn request(&self, _from: NodeId, request: Request) {
        handle_or_refuse(request);
    }

    // What only hands something to a sleeping thread needs no worker in between.
    fn urgent(&self, _from: NodeId, request: Request) -> Option<Request> {
        handle_or_refuse(request);
        None
    }

    fn node_event(&self, node: NodeId, event: NodeEvent) {
        if event == NodeEvent::Online {
            return;
        }
        let Ok(registry) = Registry::get() else {
            return;
        };
        // Processes of that node, here.
        let mut from = 0;
        while let Some((id, host)) = registry.hosts.next(from) {
            from = id + 1;
            if host.origin() == node {
                host.stop();
            }
        }
        // Threads of this node, there.
        wake_threads();
    }

    fn part(&self, node: NodeId, limit: &Limit<'_>) -> Result {
        parting::part(node, limit)
    }
}

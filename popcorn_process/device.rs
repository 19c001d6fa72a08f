// SPDX-License-Identifier: GPL-2.0
//! `/dev/popcorn`: see `include/uapi/linux/popcorn.h`.

use core::mem::size_of;

use kernel::prelude::*;
use kernel::uaccess::UserSlice;
use popcorn_core::affinity;
use popcorn_core::affinity::Target;
use popcorn_core::ids::NodeId;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::miscdevice::MiscDevice;
use popcorn_kernel::system;
use popcorn_kernel::task::UserTask;
use popcorn_kernel::uapi;

use crate::attached::Attached;
use crate::registry::Registry;
use crate::thread::Goal;
use crate::thread::Thread;

pub(crate) struct Device;

impl MiscDevice for Device {
    type File = ();

    fn open() -> Result {
        Ok(())
    }

    fn ioctl(_file: (), command: u32, argument: usize) -> Result<isize> {
        let is = |call| uapi::is_call(command, call);
        if is(uapi::POPCORN_IOC_WHERE) {
            return Ok(place().index() as isize);
        }
        if is(uapi::POPCORN_IOC_MIGRATE) {
            migrate(argument)
        } else if is(uapi::POPCORN_IOC_NODES) {
            nodes(argument)
        } else if is(uapi::POPCORN_IOC_THREADS) {
            threads(argument)
        } else if is(uapi::POPCORN_IOC_PING) {
            ping(argument)
        } else if is(uapi::POPCORN_IOC_MSG_STATS) {
            message_statistics(argument)
        } else {
            Err(ENOTTY)
        }?;
        Ok(0)
    }
}

/// Where the calling thread runs.
fn place() -> NodeId {
    match Attached::current().as_deref() {
        Some(Attached::Origin(thread)) => thread.node(),
        _ => None,
    }
    .unwrap_or(popcorn_msg::this_node())
}

/// Checks a node that a user named, to which threads shall go.
fn open(raw: i32) -> Result<Goal> {
    match online(raw)? {
        // It leaves, or is left.
        Goal::Node(node) if !popcorn_msg::takes_threads(node) => Err(errno::host_down()),
        goal => Ok(goal),
    }
}

/// Checks a node that a user named.
fn online(raw: i32) -> Result<Goal> {
    if raw == uapi::POPCORN_NODE_ORIGIN {
        return Ok(Goal::Home);
    }
    let node = u64::try_from(raw)
        .ok()
        .and_then(NodeId::new)
        .ok_or(ENODEV)?;
    if node == popcorn_msg::this_node() {
        return Ok(Goal::Home);
    }
    if popcorn_msg::is_online(node) {
        return Ok(Goal::Node(node));
    }
    let known = popcorn_msg::nodes()?
        .iter()
        .any(|info| info.id == u32::from(node.get()));
    Err(if known { errno::host_down() } else { ENODEV })
}

fn migrate(argument: usize) -> Result {
    const FLAGS: u32 = uapi::POPCORN_MIGRATE_ON_EXEC | uapi::POPCORN_MIGRATE_PROCESS;
    let request: uapi::popcorn_migrate = uapi::read_sized(argument)?;
    if request.flags & !FLAGS != 0 || request.tid < 0 {
        return Err(EINVAL);
    }
    let goal = open(request.node)?;
    let task = if request.tid == 0 {
        UserTask::current()
    } else {
        UserTask::find(request.tid).ok_or(ESRCH)?
    };
    if !task.is_current() && !task.may_control() {
        return Err(EPERM);
    }
    if request.flags & uapi::POPCORN_MIGRATE_ON_EXEC != 0 {
        if !task.is_current() || request.flags & uapi::POPCORN_MIGRATE_PROCESS != 0 {
            return Err(EINVAL);
        }
        return match goal {
            Goal::Home => Err(errno::already()),
            Goal::Node(node) => Thread::of(task)?.set_goal_on_exec(node),
        };
    }
    if request.flags & uapi::POPCORN_MIGRATE_PROCESS == 0 {
        return set_goal(task, goal);
    }
    // Moved if any thread is; else what the last one said.
    let mut result = Err(ESRCH);
    for index in 0.. {
        let Some(thread) = task.thread(index) else {
            break;
        };
        match set_goal(thread, goal) {
            Ok(()) => result = Ok(()),
            Err(error) if result.is_err() => result = Err(error),
            Err(_) => (),
        }
    }
    result
}

fn set_goal(task: UserTask, goal: Goal) -> Result {
    if !task.can_move() {
        return Err(errno::not_supported());
    }
    if goal == Goal::Home {
        // A thread that never left needs no object to be told that.
        let known = Registry::get()?.by_task.get(task.key());
        return known.ok_or_else(errno::already)?.set_goal(goal);
    }
    Thread::of(task)?.set_goal(goal)
}

fn nodes(argument: usize) -> Result {
    let mut request: uapi::popcorn_nodes = uapi::read_sized(argument)?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let nodes = popcorn_msg::nodes()?;
    let room = request.count as usize;
    for (index, info) in nodes.iter().take(room).enumerate() {
        put(request.nodes, index, request.info_size, info)?;
    }
    request.count = nodes.len() as u32;
    uapi::write_sized(argument, request.size as usize, &request)
}

fn threads(argument: usize) -> Result {
    let mut request: uapi::popcorn_threads = uapi::read_sized(argument)?;
    if request.pid < 0 {
        return Err(EINVAL);
    }
    let registry = Registry::get()?;
    let room = request.count as usize;
    let mut count = 0;
    let mut from = 0;
    while let Some((id, thread)) = registry.threads.next(from) {
        from = id + 1;
        let info = thread.info();
        let wanted = if request.pid == 0 {
            thread.task.may_read()
        } else {
            info.pid == request.pid
        };
        // A number of 0 is of another pid namespace; nothing left home yet.
        if !wanted || info.tid == 0 || info.out == 0 && info.flags == 0 {
            continue;
        }
        if request.pid != 0 && !thread.task.may_read() {
            return Err(EPERM);
        }
        if count < room {
            put(request.threads, count, request.info_size, &info)?;
        }
        count += 1;
    }
    request.count = count as u32;
    uapi::write_sized(argument, request.size as usize, &request)
}

/// Writes element `index` of a user's array whose elements have `size` bytes.
fn put<T: uapi::Plain>(array: u64, index: usize, size: u32, value: &T) -> Result {
    let size = size as usize;
    let at = index
        .checked_mul(size)
        .and_then(|offset| offset.checked_add(usize::try_from(array).ok()?))
        .ok_or(EFAULT)?;
    uapi::write_sized(at, size, value)
}

fn ping(argument: usize) -> Result {
    let mut request: uapi::popcorn_ping = uapi::read_sized(argument)?;
    if request.flags & !uapi::POPCORN_PING_POLL != 0 || request.reserved != 0 {
        return Err(EINVAL);
    }
    if !current::is_admin() {
        return Err(EPERM);
    }
    let node = match online(i32::try_from(request.node).map_err(|_| ENODEV)?)? {
        Goal::Node(node) => node,
        Goal::Home => return Err(EINVAL),
    };
    let poll = request.flags & uapi::POPCORN_PING_POLL != 0;
    let (bytes, count) = (request.bytes as usize, request.count);
    let ping = popcorn_msg::ping_each(node, bytes, count, poll, &mut |round, ns| {
        if request.samples == 0 {
            return Ok(());
        }
        put(
            request.samples,
            round as usize,
            size_of::<u64>() as u32,
            &ns,
        )
    })?;
    request.total_ns = ping.total_ns;
    request.min_ns = ping.min_ns;
    request.max_ns = ping.max_ns;
    uapi::write_sized(argument, request.size as usize, &request)
}

fn message_statistics(argument: usize) -> Result {
    let mut request: uapi::popcorn_msg_stats = uapi::read_sized(argument)?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let node = match request.node {
        uapi::POPCORN_NODE_ANY => None,
        raw => Some(
            u64::try_from(raw)
                .ok()
                .and_then(NodeId::new)
                .ok_or(ENODEV)?,
        ),
    };
    let room = request.count as usize;
    let mut count = 0;
    popcorn_msg::message_statistics(node, &mut |info| {
        if count < room {
            put(request.stats, count, request.info_size, info)?;
        }
        count += 1;
        Ok(())
    })?;
    request.count = count as u32;
    uapi::write_sized(argument, request.size as usize, &request)
}

/// `sched_setaffinity`: CPUs of other nodes have numbers of their own (`popcorn_core::affinity`).
/// `None`: it is for this kernel alone.
pub(crate) fn set_affinity(tid: i32, mask: usize, length: usize) -> Option<Result> {
    let mut bytes = [0; affinity::MASK_MAX];
    let length = length.min(bytes.len());
    let read = UserSlice::new(mask as _, length)
        .reader()
        .read_slice(&mut bytes[..length]);
    if read.is_err() {
        // The kernel may need less of it.
        return None;
    }
    let own_cpus = system::cpu_numbers() as usize;
    let goal = match affinity::target(&bytes[..length], popcorn_msg::this_node(), own_cpus) {
        Target::Local => {
            // A thread that is away comes home to these CPUs.
            if let Some(task) = by_tid(tid) {
                if task.is_current() || task.may_control() {
                    let _ = set_goal(task, Goal::Home);
                }
            }
            return None;
        }
        Target::Stay => return None,
        Target::Unclear => return Some(Err(EINVAL)),
        Target::Node(node) => match open(i32::from(node.get() as u8)) {
            Ok(goal) => goal,
            Err(error) => return Some(Err(error)),
        },
    };
    let Some(task) = by_tid(tid) else {
        return Some(Err(ESRCH));
    };
    if !task.is_current() && !task.may_control() {
        return Some(Err(EPERM));
    }
    Some(match set_goal(task, goal) {
        Err(error) if error == errno::already() => Ok(()),
        result => result,
    })
}

fn by_tid(tid: i32) -> Option<UserTask> {
    if tid == 0 {
        Some(UserTask::current())
    } else {
        UserTask::find(tid)
    }
}

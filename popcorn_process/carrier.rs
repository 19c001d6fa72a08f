// SPDX-License-Identifier: GPL-2.0
//! A carrier: the task that runs user code of a thread whose origin is another node.
//!
//! It arrives and leaves in the `user_return` hook. It makes no system calls of its own, has no
//! files and no privileges, and no signal does anything to it but SIGKILL.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_core::proto::FaultKind;
use popcorn_core::proto::Reason;
use popcorn_core::proto::Verdict;
use popcorn_core::syscall;
use popcorn_core::syscall::Place;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::hooks::BadAccess;
use popcorn_kernel::mm::PAGE_SIZE;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::regs;
use popcorn_kernel::regs::CurrentRegs;
use popcorn_kernel::regs::Fpu;
use popcorn_kernel::regs::UserRegs;
use popcorn_kernel::task;
use popcorn_kernel::task::Body;
use popcorn_kernel::task::UserTask;
use popcorn_msg::Request;
use popcorn_page::talk;
use popcorn_page::Report;
use popcorn_page::Space;

use crate::attached::Attached;
use crate::guests::Guest;
use crate::registry::Registry;
use crate::service::refuse;
use crate::this_module;

const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGSYS: i32 = 31;

/// Why it goes home.
#[derive(Clone, Copy)]
enum Leaving {
    /// Was asked to.
    Asked,
    /// For a system call.
    Syscall,
    /// The origin has the registers.
    Resume,
    /// An access.
    Fault {
        address: u64,
        kind: FaultKind,
        errno: i32,
    },
    /// An exception.
    Trap {
        signal: i32,
        code: i32,
        address: u64,
    },
}

struct State {
    /// The message that brought the thread, until it runs.
    arrival: Option<Request>,
    leaving: Option<Leaving>,
    task: Option<UserTask>,
}

/// See the module's doc.
#[pin_data]
pub(crate) struct Carrier {
    thread: u64,
    space: Arc<Space>,
    origin: NodeId,
    #[pin]
    state: SpinLock<State>,
    /// The origin thread is gone: nothing is sent home any more.
    dead: AtomicBool,
    /// It was sent home.
    home: AtomicBool,
    /// It cannot go on.
    broken: AtomicBool,
    /// An exception of the current instruction: signal and code; 0 if there is none. Set under
    /// siglock, which interrupts take, so it is not in `state`.
    exception: AtomicU64,
    exception_address: AtomicU64,
    pages: AtomicU64,
    grants: AtomicU64,
    _guest: Guest,
    _module: Pinned,
}

impl Carrier {
    /// For the thread in `request`, a [`proto::Migrate`].
    ///
    /// # Errors
    ///
    /// `EEXIST` if that thread is here, `EPROTO`, `ENOMEM`.
    pub(crate) fn new(
        space: Arc<Space>,
        thread: u64,
        request: Request,
        guest: Guest,
    ) -> Result<Arc<Self>> {
        let origin = request.from();
        let pinned = Pinned::new(this_module())?;
        let carrier = Arc::pin_init(
            pin_init!(Self {
                thread,
                space,
                origin,
                state <- new_spinlock!(State {
                    arrival: Some(request),
                    leaving: None,
                    task: None,
                }, "popcorn carrier"),
                dead: AtomicBool::new(false),
                home: AtomicBool::new(false),
                broken: AtomicBool::new(false),
                exception: AtomicU64::new(0),
                exception_address: AtomicU64::new(0),
                pages: AtomicU64::new(0),
                grants: AtomicU64::new(0),
                _guest: guest,
                _module: pinned,
            }),
            GFP_KERNEL,
        )?;
        let registry = Registry::get()?;
        registry.carriers.insert(thread, carrier.clone())?;
        // Looked at after the insertion, as it is noted before the look-up: one sees the other.
        if registry.abandoned.contains(thread) {
            carrier.abandon();
        }
        Ok(carrier)
    }

    /// The space that it runs in.
    pub(crate) fn space(&self) -> u64 {
        self.space.id
    }

    /// The node that it works for.
    pub(crate) fn origin(&self) -> NodeId {
        self.origin
    }

    /// It could not be started, or ends before it ran.
    pub(crate) fn fail(&self, error: Error) {
        let arrival = self.state.lock().arrival.take();
        if let Some(request) = arrival {
            refuse(request, error);
        }
        if let Ok(registry) = Registry::get() {
            drop(registry.carriers.remove(self.thread));
        }
    }

    // --- messages ---

    /// The origin wants the thread back.
    pub(crate) fn recall(&self) {
        self.leave(Leaving::Asked);
    }

    /// The origin thread has exited.
    pub(crate) fn abandon(&self) {
        self.dead.store(true, Ordering::Release);
        if let Some(task) = &self.state.lock().task {
            task.notify();
        }
    }

    fn leave(&self, why: Leaving) {
        let mut state = self.state.lock();
        if state.leaving.is_none() {
            state.leaving = Some(why);
        }
        if let Some(task) = &state.task {
            task.notify();
        }
    }

    // --- hooks: the carrier is current ---

    /// A fault was dealt with, or could not be.
    pub(crate) fn faulted(&self, report: &Report, write: bool) {
        self.pages.fetch_add(report.pages, Ordering::Relaxed);
        self.grants.fetch_add(report.grants, Ordering::Relaxed);
        if let Some((address, error)) = report.unservable {
            self.leave(Leaving::Fault {
                address,
                kind: if write {
                    FaultKind::Write
                } else {
                    FaultKind::Read
                },
                errno: error.to_errno(),
            });
        }
    }

    /// An access where nothing is mapped, or where it is not allowed.
    pub(crate) fn bad_area(&self, address: usize, access: BadAccess) -> bool {
        let page = address & !(PAGE_SIZE - 1);
        let known = self.space.mm.user().map(|user| user.vma(page));
        let unknown = match known {
            // Not allowed here; is it at home?
            Some(Ok(vma)) if !vma.allows(access) => Ok(()),
            // Mapped meanwhile, or its lock is busy: look again.
            Some(Ok(_)) => return true,
            Some(Err(error)) if error == EAGAIN => return true,
            _ => match popcorn_vma::fetch(&self.space, address as u64) {
                Ok(()) => return true,
                Err(error) if error == EINTR => return true,
                Err(error) => Err(error),
            },
        };
        self.leave(Leaving::Fault {
            address: address as u64,
            kind: match access {
                BadAccess::Read => FaultKind::Read,
                BadAccess::Write => FaultKind::Write,
                BadAccess::Execute => FaultKind::Other,
            },
            errno: match unknown {
                Ok(()) => 0,
                Err(error) => error.to_errno(),
            },
        });
        true
    }

    /// A signal: ours are sent at home, so this is an exception, or somebody on this node. Under
    /// siglock.
    pub(crate) fn signal(&self, signal: i32, code: i32, address: u64) -> bool {
        match signal {
            SIGKILL => return false,
            SIGTRAP => (),
            SIGSEGV | SIGBUS | SIGFPE | SIGILL | SIGSYS if code > 0 => (),
            _ => return true,
        }
        self.exception_address.store(address, Ordering::Relaxed);
        let exception = ((signal as u32 as u64) << 32) | code as u32 as u64;
        self.exception.store(exception, Ordering::Relaxed);
        UserTask::current().notify();
        true
    }

    fn take_exception(&self) -> Option<Leaving> {
        let exception = self.exception.swap(0, Ordering::Relaxed);
        let address = self.exception_address.load(Ordering::Relaxed);
        match (exception >> 32) as i32 {
            0 => None,
            SIGTRAP => Some(Leaving::Trap {
                signal: SIGTRAP,
                code: exception as u32 as i32,
                address,
            }),
            // At home the same instruction comes to the same end.
            _ => Some(Leaving::Fault {
                address,
                kind: FaultKind::Other,
                errno: 0,
            }),
        }
    }

    /// A system call. True: dealt with.
    pub(crate) fn syscall(&self, number: u64) -> bool {
        let Ok(mut regs) = CurrentRegs::get() else {
            return false;
        };
        let user = regs.read();
        let verdict = match syscall::place(number) {
            Place::Remote => return false,
            Place::Return => Ok((Verdict::ComeHome, 0)),
            Place::Home => self.call_home(number, &user),
        };
        match verdict {
            Ok((Verdict::Done, result)) => regs.set_result(result),
            Ok((Verdict::ComeHome, _)) => {
                // As before the instruction: it is made at home.
                if regs.write(&user.before_syscall(number)).is_ok() {
                    self.leave(Leaving::Syscall);
                }
            }
            Ok((Verdict::Resume, _)) => self.leave(Leaving::Resume),
            Ok((Verdict::Exit, _)) => self.abandon(),
            // Killed, which needs no help.
            Err(error) if error == EINTR => (),
            Err(error) => {
                err_ratelimited!(
                    "system call {} of a thread of node {} has no answer: {:?}\n",
                    number,
                    self.origin,
                    error
                );
                // It ends, and exited() tells the origin.
                self.broken.store(true, Ordering::Release);
                UserTask::current().notify();
            }
        }
        true
    }

    fn call_home(&self, number: u64, user: &UserRegs) -> Result<(Verdict, i64)> {
        let message = proto::Syscall {
            space: self.space.id,
            thread: self.thread,
            number,
            regs: user.0,
        };
        let response = talk::call(self.origin, &message, &[])?;
        let (done, _) = response.decode_prefix::<proto::SyscallDone>()?;
        Ok((
            Verdict::new(done.verdict).ok_or(errno::protocol())?,
            done.result,
        ))
    }

    /// It is about to run user code. True: it exits instead.
    pub(crate) fn user_return(&self) -> bool {
        if self.dead.load(Ordering::Acquire) || self.broken.load(Ordering::Acquire) {
            return true;
        }
        let arrival = self.state.lock().arrival.take();
        if let Some(request) = arrival {
            if let Err(error) = arrive(&request) {
                // It stays where it is.
                self.home.store(true, Ordering::Release);
                refuse(request, error);
                return true;
            }
            if request.reply(0, &[]).is_err() {
                return true;
            }
        }
        let exception = self.take_exception();
        let leaving = exception.or_else(|| self.state.lock().leaving.take());
        match leaving {
            None => false,
            Some(why) => {
                if let Err(error) = self.go_home(why) {
                    err_ratelimited!(
                        "a thread cannot go home to node {}: {:?}\n",
                        self.origin,
                        error
                    );
                }
                true
            }
        }
    }

    fn go_home(&self, why: Leaving) -> Result {
        let mut message = proto::Back {
            space: self.space.id,
            thread: self.thread,
            reason: Reason::Asked as u32,
            signal: 0,
            code: 0,
            kind: 0,
            address: 0,
            pages: self.pages.load(Ordering::Relaxed),
            grants: self.grants.load(Ordering::Relaxed),
            regs: CurrentRegs::get()?.read().0,
        };
        match why {
            Leaving::Asked => (),
            Leaving::Syscall => message.reason = Reason::Syscall as u32,
            Leaving::Resume => message.reason = Reason::Resume as u32,
            Leaving::Fault {
                address,
                kind,
                errno,
            } => {
                message.reason = Reason::Fault as u32;
                message.address = address;
                message.kind = kind as u32;
                message.code = errno;
            }
            Leaving::Trap {
                signal,
                code,
                address,
            } => {
                message.reason = Reason::Trap as u32;
                message.signal = signal;
                message.code = code;
                message.address = address;
            }
        }
        let fpu = Fpu::of_current()?;
        // From here on the thread may come again, in another carrier.
        drop(Registry::get()?.carriers.remove(self.thread));
        talk::post(self.origin, &message, fpu.as_bytes())?;
        self.home.store(true, Ordering::Release);
        Ok(())
    }

    /// It exits.
    pub(crate) fn exited(&self) {
        let (arrival, task) = {
            let mut state = self.state.lock();
            (state.arrival.take(), state.task.take())
        };
        drop(task);
        let gone = self.dead.load(Ordering::Acquire) || self.home.load(Ordering::Acquire);
        if let Some(request) = arrival {
            refuse(request, EIO);
        } else if !gone {
            self.tell_of_loss();
        }
        if let Ok(registry) = Registry::get() {
            drop(
                registry
                    .carriers
                    .remove_if(|id, carrier| id == self.thread && core::ptr::eq(&**carrier, self)),
            );
        }
    }
}

impl Carrier {
    /// The thread ends here with the only copy of its registers.
    fn tell_of_loss(&self) {
        let ended = Registry::get().is_ok_and(|registry| registry.ended.contains(self.space.id));
        if ended {
            return;
        }
        err_ratelimited!(
            "a thread of node {} ends here, and with it its process\n",
            self.origin
        );
        let message = proto::SpaceLost {
            space: self.space.id,
        };
        // If the origin cannot be reached it needs no telling.
        let _ = talk::post_last(self.origin, &message);
    }
}

/// Sets the current task's registers from the message that brought them.
fn arrive(request: &Request) -> Result {
    let (message, fpu) = request.decode_prefix::<proto::Migrate>()?;
    regs::set_fpu(fpu)?;
    CurrentRegs::get()?.write(&UserRegs(message.regs))
}

/// First code of a carrier's task.
pub(crate) struct Start(pub(crate) Arc<Carrier>);

impl Start {
    fn prepare(carrier: &Arc<Carrier>) -> Result {
        let task = UserTask::current();
        let attached = Arc::new(Attached::Carrier(carrier.clone()), GFP_KERNEL)?;
        task.attach(attached)?;
        task.watch_syscalls();
        if let Some(request) = &carrier.state.lock().arrival {
            if let Ok((message, _)) = request.decode_prefix::<proto::Migrate>() {
                task::set_current_name(&message.name);
            }
        }
        // Registers are set on the way to user mode.
        task.notify();
        carrier.state.lock().task = Some(task);
        if carrier.dead.load(Ordering::Acquire) {
            return Err(ESRCH);
        }
        Ok(())
    }
}

impl Body for Start {
    fn run(self) -> Result {
        // A carrier that cannot start must not take the others with it: it exits alone, on its way
        // to user mode, if it got that far.
        if let Err(error) = Self::prepare(&self.0) {
            self.0.fail(error);
            return Err(error);
        }
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Memory that the primary gives this kernel while it runs, and wants back: `popcorn_core::lent_memory`.
//!
//! To give memory back means to move everything in it elsewhere, for which the kernel tries as long as it
//! takes. So that is done by a thread of its own, and who gives the signs of life looks after it: it
//! interrupts the thread when one portion takes too long, or when the primary has made another list.
//!
//! What was taken in is known here, by the thread, and not asked of the page.
//!
//! Lock order: [`Shared::giving`] is a leaf, and not held while memory comes or goes.

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use popcorn_core::bootparams::Extent;
use popcorn_core::lent_memory::LentMemory;
use popcorn_core::lent_memory::List;
use popcorn_core::portions::Portions;
use popcorn_kernel::boot::boot_time_ns;
use popcorn_kernel::boot::hotplug;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::wait::WaitQueue;

/// So long it tries to give one portion back.
const GIVE_NS: u64 = 20_000_000_000;

/// Does what the primary wants with memory. Dropping it ends that; may sleep.
pub(super) struct MoreMemory {
    worker: Kthread,
    shared: Arc<Shared>,
    /// The number of the list that the worker was told of last.
    told: u64,
}

#[pin_data]
struct Shared {
    page: SharedMemory,
    #[pin]
    news: WaitQueue,
    /// What the worker is giving back just now. Who holds the lock can interrupt just that.
    #[pin]
    giving: Mutex<Option<Giving>>,
}

struct Giving {
    /// By which list.
    number: u64,
    since_ns: u64,
}

impl MoreMemory {
    /// Tells the primary in the status page that this kernel takes memory in, if it can. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`.
    pub(super) fn new(page: SharedMemory) -> Result<Option<Self>> {
        let Some(portions) = hotplug::portions() else {
            pr_info!("this kernel takes no memory in while it runs (CONFIG_MEMORY_HOTPLUG)\n");
            return Ok(None);
        };
        let shared = Arc::pin_init(
            pin_init!(Shared {
                page,
                news <- new_waitqueue!("popcorn_boot memory"),
                giving <- new_mutex!(None, "popcorn_boot giving"),
            }),
            GFP_KERNEL,
        )?;
        let theirs = shared.clone();
        // Not when the worker comes to run: there may be the first list by then.
        let told = shared.lent().number();
        let worker = Kthread::spawn(c_str!("popcorn_memory"), move || {
            theirs.work(portions, told);
        })?;
        shared.lent().offer(portions.size());
        Ok(Some(Self {
            worker,
            shared,
            told,
        }))
    }

    /// Looks for what is new, and at what takes too long. To be called from time to time; may sleep, but for a
    /// moment.
    pub(super) fn look(&mut self) {
        let number = self.shared.lent().number();
        if number != self.told {
            self.told = number;
            self.shared.news.wake_all();
        }
        if let Some(giving) = &*self.shared.giving.lock() {
            if giving.number != number || boot_time_ns().saturating_sub(giving.since_ns) > GIVE_NS {
                self.worker.interrupt();
            }
        }
    }
}

impl Shared {
    fn lent(&self) -> LentMemory<&SharedMemory> {
        LentMemory(&self.page)
    }

    /// Does what the lists say, each once, from the one after list `done` on.
    fn work(&self, mut held: Portions, mut done: u64) {
        kthread::heed_interrupts();
        loop {
            self.news.wait_idle(None, || {
                let number = self.lent().number();
                kthread::should_stop() || (number != done && number != 0)
            });
            if kthread::should_stop() {
                return;
            }
            let number = self.lent().number();
            match self.lent().list(&held) {
                Some(list) => {
                    done = list.number();
                    let result = self.deal_with(&list, &mut held);
                    let errno = result.err().map_or(0, Error::to_errno);
                    self.lent().answered(&list, &held, errno);
                }
                // If it is not just being changed it makes no sense.
                None if self.lent().number() == number => done = number,
                None => (),
            }
        }
    }

    /// Does what a list says, and notes in `held` what this kernel has of the primary's memory.
    ///
    /// # Errors
    ///
    /// Why it was the first time that something could not be done.
    fn deal_with(&self, list: &List, held: &mut Portions) -> Result {
        let mut result = Ok(());
        for portion in list.to_give(held).each() {
            if self.lent().number() != list.number() {
                return result;
            }
            match self.give_back(portion, list.number()) {
                Ok(()) => *held = held.without(&one(held, portion)?),
                Err(error) => {
                    pr_warn!(
                        "the primary's {} MiB at {:#x} stay here: {:?}\n",
                        portion.size >> 20,
                        portion.start,
                        error
                    );
                    result = result.and(Err(error));
                }
            }
        }
        for portion in list.to_take(held).each() {
            if self.lent().number() != list.number() {
                return result;
            }
            // Where one cannot be taken in the next one cannot either, as a rule.
            let more = held.with(&one(held, portion)?).map_err(|_| ENOMEM)?;
            hotplug::take_in(portion).inspect_err(|error| {
                pr_warn!(
                    "{} MiB of the primary's at {:#x} cannot be taken in: {:?}\n",
                    portion.size >> 20,
                    portion.start,
                    error
                );
            })?;
            *held = more;
        }
        result
    }

    fn give_back(&self, portion: Extent, number: u64) -> Result {
        *self.giving.lock() = Some(Giving {
            number,
            since_ns: boot_time_ns(),
        });
        let result = hotplug::give_back(portion);
        *self.giving.lock() = None;
        // From here on there are no more.
        kthread::forget_interrupts();
        result
    }
}

/// A set of this portion alone.
fn one(like: &Portions, portion: Extent) -> Result<Portions> {
    let mut set = like.none();
    set.insert(portion).map_err(|_| EINVAL)?;
    Ok(set)
}

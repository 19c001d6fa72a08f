// SPDX-License-Identifier: GPL-2.0
//! What messages between nodes cost: measured from kernel to kernel, where they are sent and handled, and not by a
//! program. Nothing else needs this module; it is loaded by who measures, on both nodes.
//!
//! | file | job |
//! |---|---|
//! | `device.rs` | `/dev/popcorn_bench`: who asks for a run |
//! | `measure.rs` | the side that asks: requests, streams, time stamps |
//! | `answer.rs` | the other side: echo, count, and look for messages all the time if that is wanted |
//!
//! The messages are in `popcorn_core::proto`, 0x0501 to 0x0504. A time stamp is the processor's time-stamp counter:
//! kernels of one machine read the same one, so that the way there is measured and not half of a round trip.
//!
//! Locks: `Bench::pollers`, a mutex, held while a thread is started or ends; who polls takes no lock of this module.

mod answer;
mod device;
mod measure;

use crate::answer::Service;
use crate::answer::Source;
use crate::device::Device;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;

use core::sync::atomic::AtomicU64;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::proto::BENCH_MESSAGES;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_kernel::global::Global;
use popcorn_kernel::global::GlobalGuard;
use popcorn_kernel::kthread::Kthread;
use popcorn_msg::Endpoint;
use popcorn_msg::Registration;

module! {
    type: PopcornBench,
    name: "popcorn_bench",
    author: "The Popcorn developers",
    description: "Popcorn: what messages between nodes cost",
    license: "GPL",
}

static BENCH: Global<Bench> = Global::new();

/// Bits of [`Bench::busy`].
const _: () = assert!(NODE_MAX <= u64::BITS as usize);

/// What both sides of measuring have in this kernel.
#[pin_data]
pub(crate) struct Bench {
    endpoint: Arc<Endpoint>,
    /// What fills payloads: one longest payload.
    padding: KVVec<u8>,
    /// What each other node measures with this one.
    sources: KVVec<Source>,
    /// Who looks for messages of each other node. They refer to this object until [`Bench::stop_polling`].
    #[pin]
    pollers: Mutex<[Option<Kthread>; NODE_MAX]>,
    /// With which nodes there is a run of ours, a bit each.
    busy: AtomicU64,
    /// Runs that have begun here.
    runs: AtomicU64,
}

impl Bench {
    /// May sleep.
    fn new(endpoint: Arc<Endpoint>) -> Result<Arc<Self>> {
        let mut padding = KVVec::with_capacity(PAYLOAD_MAX, GFP_KERNEL)?;
        for index in 0..PAYLOAD_MAX {
            padding.push((index * 7) as u8, GFP_KERNEL)?;
        }
        let mut sources = KVVec::with_capacity(NODE_MAX, GFP_KERNEL)?;
        for _ in 0..NODE_MAX {
            sources.push(Source::default(), GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                endpoint,
                padding,
                sources,
                pollers <- new_mutex!([const { None }; NODE_MAX], "popcorn_bench::Bench::pollers"),
                busy: AtomicU64::new(0),
                runs: AtomicU64::new(0),
            }),
            GFP_KERNEL,
        )
    }
}

struct PopcornBench {
    bench: Arc<Bench>,
    service: Option<Registration>,
    device: Option<Device>,
    _global: GlobalGuard<Bench>,
}

impl kernel::Module for PopcornBench {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let bench = Bench::new(popcorn_msg::endpoint()?)?;
        // From here on, returning drops it.
        let mut this = Self {
            _global: BENCH.set(bench.clone())?,
            bench,
            service: None,
            device: None,
        };
        this.service = Some(popcorn_msg::register(BENCH_MESSAGES, &Service)?);
        this.device = Some(Device::new(module)?);
        Ok(this)
    }
}

impl Drop for PopcornBench {
    fn drop(&mut self) {
        self.device = None;
        // Nobody has us look for messages after this.
        self.service = None;
        self.bench.stop_polling();
    }
}

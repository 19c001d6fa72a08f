// SPDX-License-Identifier: GPL-2.0
//! `/dev/popcorn_bench`: see `include/uapi/linux/popcorn_bench.h`.

use crate::measure;
use crate::measure::Sample;
use crate::measure::Wish;
use crate::Bench;
use crate::BENCH;

use kernel::c_str;
use kernel::prelude::*;

use core::mem::size_of;
use popcorn_core::ids::NodeId;
use popcorn_kernel::boot::processor::tsc_khz;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::miscdevice::MiscDevice;
use popcorn_kernel::miscdevice::Registration;
use popcorn_kernel::uapi;
use popcorn_kernel::uapi::popcorn_bench_run;
use popcorn_kernel::uapi::popcorn_bench_sample;

/// For the owner alone: a run keeps processors of two nodes busy.
const MODE: u16 = 0o600;

// The header promises these.
const _: () = assert!(measure::BYTES_MIN == 24 && measure::BYTES_MAX == 65536);
const _: () = assert!(measure::COUNT_MAX == 1_000_000);

/// The device.
struct BenchDevice;

/// While it lives, the device is there. Dropping it may sleep.
pub(crate) struct Device {
    _registration: Pin<KBox<Registration<BenchDevice>>>,
}

impl Device {
    /// Makes the device. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of `misc_register()`.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let registration = Registration::register(c_str!("popcorn_bench"), MODE, module);
        Ok(Self {
            _registration: KBox::try_pin_init(registration, GFP_KERNEL)?,
        })
    }
}

impl MiscDevice for BenchDevice {
    type File = ();

    fn open() -> Result {
        Ok(())
    }

    fn ioctl(_file: (), command: u32, argument: usize) -> Result<isize> {
        if !uapi::is_call(command, uapi::POPCORN_BENCH_IOC_RUN) {
            return Err(ENOTTY);
        }
        let bench = BENCH.get().ok_or_else(errno::shutdown)?;
        run(&bench, argument)?;
        Ok(0)
    }
}

fn run(bench: &Bench, argument: usize) -> Result {
    let mut request: popcorn_bench_run = uapi::read_sized(argument)?;
    let is_echo = request.what == uapi::POPCORN_BENCH_ECHO;
    let is_known = is_echo || request.what == uapi::POPCORN_BENCH_STREAM && request.samples == 0;
    if !is_known || request.flags & !uapi::POPCORN_BENCH_POLL != 0 || request.reserved != 0 {
        return Err(EINVAL);
    }
    if !current::is_admin() {
        return Err(EPERM);
    }
    let wish = Wish {
        node: NodeId::new(request.node.into()).ok_or(ENODEV)?,
        bytes: request.bytes as usize,
        count: request.count,
        poll: request.flags & uapi::POPCORN_BENCH_POLL != 0,
    };
    if is_echo {
        request.total_ns = bench.echo(&wish, &mut |number, sample| {
            put(request.samples, number, sample)
        })?;
        (request.messages, request.in_order, request.bytes_in) = (0, 0, 0);
    } else {
        let (counted, ns) = bench.stream(&wish)?;
        request.total_ns = ns;
        request.messages = counted.messages;
        request.in_order = counted.in_order;
        request.bytes_in = counted.bytes;
    }
    request.stamp_khz = tsc_khz();
    request.clocks = if bench.shares_clock(wish.node) {
        uapi::POPCORN_BENCH_ONE_CLOCK
    } else {
        0
    };
    uapi::write_sized(argument, request.size as usize, &request)
}

/// Writes an element of the user's array, if there is one.
fn put(array: u64, index: u32, sample: &Sample) -> Result {
    if array == 0 {
        return Ok(());
    }
    let sample = popcorn_bench_sample {
        sent: sample.sent,
        arrived: sample.arrived,
        answered: sample.answered,
        received: sample.received,
    };
    let size = size_of::<popcorn_bench_sample>();
    let at = (index as usize)
        .checked_mul(size)
        .and_then(|offset| offset.checked_add(usize::try_from(array).ok()?))
        .ok_or(EFAULT)?;
    uapi::write_sized(at, size, &sample)
}

impl Bench {
    /// Whether a node reads the same time-stamp counter: a kernel of this machine does.
    fn shares_clock(&self, node: NodeId) -> bool {
        self.endpoint.shares_memory(node)
    }
}

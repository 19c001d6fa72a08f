// SPDX-License-Identifier: GPL-2.0
//! Which branches the last input took.
//!
//! `scripts/fuzz` has the compiler put a counter of one byte into each branch (LLVM's SanitizerCoverage, of which
//! stable Rust knows by `-Cpasses=sancov-module`). Before `main` each module tells where its counters are. In a
//! build without them, as of `cargo test`, there are none, and inputs are not chosen by what they reach.
//!
//! All that is unsafe in this crate is here.

use std::sync::Mutex;

/// Where the counters are: first byte, number of bytes.
static REGIONS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by each instrumented module before `main`, with all counters of the program; so they are the same ones
/// each time.
#[allow(unsafe_code, reason = "the name is the compiler's")]
#[no_mangle]
pub extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let region = (
        start as usize,
        (stop as usize).saturating_sub(start as usize),
    );
    if let Ok(mut regions) = REGIONS.lock() {
        if region.1 != 0 && !regions.contains(&region) {
            regions.push(region);
        }
    }
}

/// The counters of the program, and which of their values were seen. There should be one that is used, in one
/// thread: the counters are the program's.
#[derive(Debug)]
pub struct Coverage {
    regions: Vec<(usize, usize)>,
    /// The counters as of the last look.
    now: Vec<u8>,
    /// A bit for each range of values that a counter has had.
    seen: Vec<u8>,
    reached: usize,
}

impl Coverage {
    /// Nothing seen yet.
    pub fn new() -> Self {
        let regions = REGIONS.lock().map(|regions| regions.clone());
        let regions = regions.unwrap_or_default();
        let bytes = regions.iter().map(|(_, length)| length).sum();
        Self {
            regions,
            now: vec![0; bytes],
            seen: vec![0; bytes],
            reached: 0,
        }
    }

    /// Whether there are counters.
    pub fn is_guiding(&self) -> bool {
        !self.now.is_empty()
    }

    /// Branches that were taken so far.
    pub fn reached(&self) -> usize {
        self.reached
    }

    /// Before an input.
    pub fn clear(&self) {
        for &(start, length) in &self.regions {
            // SAFETY: the compiler gave this range, of static bytes that are written by nobody but the code that
            // it instrumented, which is not running here.
            #[allow(unsafe_code, reason = "the counters are at an address")]
            unsafe {
                std::ptr::write_bytes(start as *mut u8, 0, length);
            }
        }
    }

    /// After it: whether a branch was taken for the first time, or another number of times than ever.
    pub fn look(&mut self) -> bool {
        let mut at = 0;
        for &(start, length) in &self.regions {
            let Some(to) = self.now.get_mut(at..at + length) else {
                break;
            };
            // SAFETY: as above; `to` has `length` bytes, and is no part of the counters.
            #[allow(unsafe_code, reason = "the counters are at an address")]
            unsafe {
                std::ptr::copy_nonoverlapping(start as *const u8, to.as_mut_ptr(), length);
            }
            at += length;
        }
        let mut is_new = false;
        let chunks = self.now.chunks(16).zip(self.seen.chunks_mut(16));
        for (now, seen) in chunks {
            // Nearly all are zero.
            if now.iter().fold(0, |any, &count| any | count) == 0 {
                continue;
            }
            for (&count, seen) in now.iter().zip(seen) {
                let range = range_of(count);
                if range & !*seen != 0 {
                    self.reached += usize::from(*seen == 0);
                    *seen |= range;
                    is_new = true;
                }
            }
        }
        is_new
    }
}

impl Default for Coverage {
    fn default() -> Self {
        Self::new()
    }
}

/// The bit that stands for a counter's value.
fn range_of(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1 << 0,
        2 => 1 << 1,
        3 => 1 << 2,
        4..=7 => 1 << 3,
        8..=15 => 1 << 4,
        16..=31 => 1 << 5,
        32..=127 => 1 << 6,
        128.. => 1 << 7,
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Counting messages: what two kernels say to each other, by message type.
//!
//! Everything here is counted with relaxed atomics, by any number of threads and in any context: no
//! lock, no memory, no waiting. A reader sees each counter as it was at some moment; counters that
//! belong together may be a few messages apart while others count.
//!
//! [`histogram`]: how long something took. [`row`]: the counters of one message type. [`table`]: from
//! a message type to its row.

pub mod histogram;
pub mod row;
pub mod table;

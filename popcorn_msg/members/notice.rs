// SPDX-License-Identifier: GPL-2.0
//! What the log is told of the members: one line for each change.

use super::Description;

use core::fmt;
use popcorn_core::directory::NodeSet;
use popcorn_core::membership::machine::Event;
use popcorn_core::membership::machine::News;
use popcorn_core::membership::Standing;
use popcorn_core::membership::Why;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::info_ratelimited;
use popcorn_kernel::warn_ratelimited;

/// The numbers of nodes, for a reader.
pub(super) struct Names(pub(super) NodeSet);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, node) in self.0.into_iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{}{}", comma, node)?;
        }
        Ok(())
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status.standing {
            Standing::Joining => write!(f, "joining")?,
            Standing::Serving => write!(f, "serving")?,
            Standing::Suspended(why) => write!(f, "suspended ({})", reason(why))?,
            Standing::Left => write!(f, "left")?,
            Standing::Removed => write!(f, "removed")?,
        }
        write!(
            f,
            "; epoch {}: {}",
            self.status.epoch,
            Names(self.status.members)
        )?;
        if !self.missing.is_empty() {
            write!(f, "; missing {}", Names(self.missing))?;
        }
        Ok(())
    }
}

/// Tells of it. May sleep.
pub(super) fn log(news: &News) {
    let News {
        before,
        after,
        event,
    } = news;
    match event {
        Some(Event::Removed) => warn_ratelimited!(
            "the other machines have removed this one from epoch {} on; it joins again as another life\n",
            before.epoch
        ),
        Some(Event::Deserted) => warn_ratelimited!(
            "no other machine of epoch {} is what it was: this one begins anew\n",
            before.epoch
        ),
        Some(Event::Foreign(node)) => err_ratelimited!(
            "node {} is of another system, as this one is: leave all nodes of one of them first\n",
            node
        ),
        None => {}
    }
    let is_other_list = (before.cluster, before.epoch) != (after.cluster, after.epoch);
    // One that is alone, as it was, has nothing to say.
    if is_other_list && (before.members.len() > 1 || after.members.len() > 1) && after.epoch != 0 {
        info_ratelimited!("epoch {}: members {}\n", after.epoch, Names(after.members));
    }
    match (before.standing, after.standing) {
        (_, Standing::Suspended(why)) if before.standing != after.standing => {
            warn_ratelimited!("suspended: {}\n", reason(why));
        }
        (Standing::Suspended(_), Standing::Serving) if event.is_none() => {
            info_ratelimited!("serves again\n");
        }
        _ => {}
    }
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Minority => "most members are not heard",
        Why::Undecided => "the next list may have been decided without this machine",
        Why::Leaving => "this machine leaves",
    }
}

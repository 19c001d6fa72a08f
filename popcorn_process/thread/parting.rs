// SPDX-License-Identifier: GPL-2.0
//! A thread whose node is about to be left comes home, and stays there.

use popcorn_core::ids::NodeId;

use super::Errand;
use super::Goal;
use super::Thread;

impl Thread {
    /// Calls it home if it is at `node` or on its way there; if it is at home, but belongs there, it
    /// belongs there no more. Whether it is not at that node.
    pub(crate) fn part(&self, node: NodeId) -> bool {
        {
            let mut state = self.state.lock();
            if state.node != Some(node) {
                if state.back_to == Some(node) {
                    state.back_to = None;
                    state.errand = Errand::None;
                }
                return true;
            }
            // If somebody wants it elsewhere, it goes there from home.
            if state.goal.is_none() || state.goal == Some(Goal::Node(node)) {
                state.goal = Some(Goal::Home);
                state.asked_at = None;
            }
        }
        // It may sleep in a system call for its carrier, at home, and for how long nobody knows.
        self.task.notify();
        self.task.interrupt();
        self.wake.wake_all();
        false
    }
}

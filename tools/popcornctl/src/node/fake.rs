// SPDX-License-Identifier: GPL-2.0
//! For tests: nodes of other machines that are text in memory, and a world that answers as it was told.

use super::directory::Attribute;
use super::directory::Peers;
use super::wait::Knock;
use super::wait::World;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use popcorn_core::address::Address;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

#[derive(Default)]
struct One {
    attributes: HashMap<&'static str, String>,
    joined: bool,
}

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<u32, One>,
    /// States of one that has joined; the last stays.
    states: VecDeque<String>,
    refused: HashMap<&'static str, (Errno, usize)>,
    written: Vec<String>,
}

/// Nodes that remember what is written, and refuse what they were told to.
#[derive(Clone, Default)]
pub(crate) struct FakePeers(Arc<Mutex<Inner>>);

impl FakePeers {
    /// None yet; one that joins goes through these states.
    pub(crate) fn with_states(states: &[&str]) -> Self {
        let peers = Self::default();
        peers.inner().states = states.iter().map(|&state| state.into()).collect();
        peers
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn refuse(&self, attribute: Attribute, errno: Errno) {
        self.refuse_times(attribute, errno, usize::MAX);
    }

    pub(crate) fn refuse_times(&self, attribute: Attribute, errno: Errno, times: usize) {
        let mut inner = self.inner();
        inner.refused.insert(attribute.name(), (errno, times));
    }

    /// All that was written, as `attribute=text`.
    pub(crate) fn written(&self) -> Vec<String> {
        self.inner().written.clone()
    }

    /// The ids of those that there are.
    pub(crate) fn nodes(&self) -> Vec<u32> {
        self.inner().nodes.keys().copied().collect()
    }
}

impl Peers for FakePeers {
    fn make(&self, node: u32) -> Result<(), Errno> {
        let mut inner = self.inner();
        if inner.nodes.contains_key(&node) {
            return Err(Errno::EEXIST);
        }
        let mut one = One::default();
        one.attributes.insert("transport", "tls".into());
        inner.nodes.insert(node, one);
        Ok(())
    }

    fn remove(&self, node: u32) -> Result<(), Errno> {
        let mut inner = self.inner();
        if inner.nodes.get(&node).ok_or(Errno::ENOENT)?.joined {
            return Err(Errno::EBUSY);
        }
        inner.nodes.remove(&node);
        Ok(())
    }

    fn read(&self, node: u32, attribute: Attribute) -> Result<String, Errno> {
        let mut inner = self.inner();
        let one = inner.nodes.get(&node).ok_or(Errno::ENOENT)?;
        if attribute != Attribute::State {
            let text = one.attributes.get(attribute.name());
            return Ok(text.cloned().unwrap_or_default());
        }
        if !one.joined {
            return Ok("configured".into());
        }
        let last = inner.states.len() == 1;
        let state = match inner.states.front() {
            Some(state) => state.clone(),
            None => "offline".into(),
        };
        if !last {
            inner.states.pop_front();
        }
        Ok(state)
    }

    fn write(&self, node: u32, attribute: Attribute, text: &str) -> Result<(), Errno> {
        let mut inner = self.inner();
        inner.written.push(format!("{}={text}", attribute.name()));
        match inner.refused.get_mut(attribute.name()) {
            Some((errno, times)) if *times > 0 => {
                *times -= 1;
                return Err(*errno);
            }
            _ => {}
        }
        let one = inner.nodes.get_mut(&node).ok_or(Errno::ENOENT)?;
        match attribute {
            Attribute::Join => one.joined = true,
            Attribute::Leave if one.joined => one.joined = false,
            Attribute::Leave => return Err(Errno::ENOTCONN),
            _ => drop(one.attributes.insert(attribute.name(), text.into())),
        }
        Ok(())
    }

    fn own_node(&self) -> Option<u32> {
        Some(0)
    }
}

/// A world without time.
pub(crate) struct FakeWorld {
    /// What ends the first sleep.
    pub(crate) signal: Option<Signal>,
    pub(crate) knock: Knock,
    /// Whom somebody knocked at.
    pub(crate) knocked: RefCell<Vec<Address>>,
}

impl Default for FakeWorld {
    fn default() -> Self {
        Self {
            signal: None,
            knock: Knock::Silent,
            knocked: RefCell::default(),
        }
    }
}

impl World for FakeWorld {
    fn sleep(&self, _time: Duration) -> Result<Option<Signal>, Errno> {
        Ok(self.signal)
    }

    fn knock(&self, address: &Address) -> Knock {
        self.knocked.borrow_mut().push(*address);
        self.knock.clone()
    }
}

// SPDX-License-Identifier: GPL-2.0
//! For tests: kernels that are text in memory, and a folder that goes with its owner.

use super::core_dump::CoreSource;
use super::directory::Attribute;
use super::directory::Kernels;
use super::memory_log::tests::Live;
use super::refusal::refused;
use super::refusal::Action;
use crate::failure::Failure;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::io::Cursor;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

/// A folder with nothing in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("popcornctl-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Default)]
struct One {
    attributes: HashMap<&'static str, String>,
    /// Answers that come before that.
    before: HashMap<&'static str, VecDeque<String>>,
    log: String,
    core: Option<Live>,
}

#[derive(Default)]
struct Inner {
    kernels: BTreeMap<String, One>,
    refused: HashMap<&'static str, (Errno, usize)>,
    refused_writes: HashMap<&'static str, Errno>,
    written: Vec<String>,
}

/// Kernels that remember what is written, and refuse what they were told to.
#[derive(Clone, Default)]
pub(crate) struct FakeKernels(Arc<Mutex<Inner>>);

impl FakeKernels {
    /// One kernel that has nothing.
    pub(crate) fn with(name: &str, node: u32) -> Self {
        let kernels = Self::default();
        kernels.add(name, node);
        kernels
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn add(&self, name: &str, node: u32) {
        let mut one = One::default();
        for (attribute, text) in [
            (Attribute::Cpus, ""),
            (Attribute::PossibleCpus, ""),
            (Attribute::Memory, "0"),
            (Attribute::LowMemory, "any"),
            (Attribute::Devices, ""),
            (Attribute::Kernel, ""),
            (Attribute::Initrd, ""),
            (Attribute::CommandLine, ""),
            (Attribute::MachineId, "0123456789abcdef0123456789abcdef"),
            (Attribute::State, "empty"),
            (Attribute::Node, &node.to_string()),
            (Attribute::HardwareIds, ""),
            (Attribute::MemoryRanges, ""),
            (Attribute::NumaCpus, ""),
            (Attribute::NumaMemory, ""),
            (Attribute::MemoryBooted, "0"),
            (Attribute::MemoryPortion, "0"),
            (Attribute::Starts, "0"),
            (Attribute::StartedNs, "0"),
        ] {
            one.attributes.insert(attribute.name(), text.into());
        }
        self.inner().kernels.insert(name.into(), one);
    }

    pub(crate) fn set(&self, name: &str, attribute: Attribute, text: &str) {
        let mut inner = self.inner();
        let one = inner.kernels.get_mut(name).unwrap();
        one.attributes.insert(attribute.name(), text.into());
    }

    /// What is read first.
    pub(crate) fn before(&self, name: &str, attribute: Attribute, texts: &[&str]) {
        let mut inner = self.inner();
        let one = inner.kernels.get_mut(name).unwrap();
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        one.before.insert(attribute.name(), texts);
    }

    pub(crate) fn set_log(&self, name: &str, text: &str) {
        self.inner().kernels.get_mut(name).unwrap().log = text.into();
    }

    pub(crate) fn set_core(&self, name: &str, core: &Live) {
        self.inner().kernels.get_mut(name).unwrap().core = Some(core.clone());
    }

    pub(crate) fn refuse(&self, attribute: Attribute, errno: Errno) {
        self.refuse_times(attribute, errno, usize::MAX);
    }

    /// To be written to; it can be read.
    pub(crate) fn refuse_writes(&self, attribute: Attribute, errno: Errno) {
        self.inner().refused_writes.insert(attribute.name(), errno);
    }

    pub(crate) fn refuse_times(&self, attribute: Attribute, errno: Errno, times: usize) {
        self.inner()
            .refused
            .insert(attribute.name(), (errno, times));
    }

    pub(crate) fn forget(&self, name: &str) {
        self.inner().kernels.remove(name);
    }

    /// All that was written, as `attribute=text`.
    pub(crate) fn written(&self) -> Vec<String> {
        self.inner().written.clone()
    }
}

impl Inner {
    fn check(&mut self, attribute: Attribute) -> Result<(), Errno> {
        match self.refused.get_mut(attribute.name()) {
            Some((errno, times)) if *times > 0 => {
                *times -= 1;
                Err(*errno)
            }
            _ => Ok(()),
        }
    }
}

impl Kernels for FakeKernels {
    fn names(&self) -> Result<Vec<String>, Errno> {
        Ok(self.inner().kernels.keys().cloned().collect())
    }

    fn make(&self, name: &str) -> Result<(), Errno> {
        if self.inner().kernels.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.add(name, 1);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        let mut inner = self.inner();
        let one = inner.kernels.get(name).ok_or(Errno::ENOENT)?;
        if !matches!(
            one.attributes["state"].as_str(),
            "empty" | "loaded" | "stopped"
        ) {
            return Err(Errno::EBUSY);
        }
        inner.kernels.remove(name);
        Ok(())
    }

    fn read(&self, name: &str, attribute: Attribute) -> Result<String, Errno> {
        let mut inner = self.inner();
        inner.check(attribute)?;
        let one = inner.kernels.get_mut(name).ok_or(Errno::ENOENT)?;
        if let Some(text) = one
            .before
            .get_mut(attribute.name())
            .and_then(VecDeque::pop_front)
        {
            return Ok(text);
        }
        one.attributes
            .get(attribute.name())
            .cloned()
            .ok_or(Errno::ENXIO)
    }

    fn write(&self, name: &str, attribute: Attribute, text: &str) -> Result<(), Errno> {
        let mut inner = self.inner();
        inner.written.push(format!("{}={text}", attribute.name()));
        inner.check(attribute)?;
        if let Some(&errno) = inner.refused_writes.get(attribute.name()) {
            return Err(errno);
        }
        let one = inner.kernels.get_mut(name).ok_or(Errno::ENOENT)?;
        match attribute {
            Attribute::Kill | Attribute::Stop => {
                one.attributes.insert("state", "stopped".into());
            }
            Attribute::Cpus | Attribute::Devices => {
                one.attributes.insert(attribute.name(), text.into());
            }
            // The rest comes back otherwise than it was written.
            _ => {}
        }
        Ok(())
    }

    fn log(&self, name: &str) -> Result<Box<dyn Read>, Failure> {
        let inner = self.inner();
        let one = inner
            .kernels
            .get(name)
            .ok_or_else(|| Failure::new("no such kernel", ""))?;
        Ok(Box::new(Cursor::new(one.log.clone().into_bytes())))
    }

    fn core(&self, name: &str) -> Result<Box<dyn CoreSource>, Failure> {
        let inner = self.inner();
        let core = inner.kernels.get(name).and_then(|one| one.core.clone());
        match core {
            Some(core) => Ok(Box::new(core)),
            None => Err(refused(Action::Core, name, Errno::ESRCH)),
        }
    }
}

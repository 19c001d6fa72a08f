// SPDX-License-Identifier: GPL-2.0
//! All kernels that there are beside this one, by name.

use crate::partition::Partition;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_kernel::boot::name_too_long;
use popcorn_kernel::errno;
use popcorn_kernel::global::Global;
use popcorn_kernel::param;

/// Bytes of a name: as long as a host name may be.
pub(crate) const NAME_MAX: usize = 63;

/// The kernels of this machine, beside this one.
#[pin_data]
pub(crate) struct Registry {
    /// By node id.
    #[pin]
    kernels: Mutex<[Option<Arc<Partition>>; NODE_MAX]>,
}

/// Here while the module is.
pub(crate) static REGISTRY: Global<Registry> = Global::new();

impl Registry {
    /// None yet. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                kernels <- new_mutex!([const { None }; NODE_MAX], "popcorn_boot registry"),
            }),
            GFP_KERNEL,
        )
    }

    /// Makes a kernel with nothing yet. It gets the smallest node id that is free, of those that this machine may
    /// give: where several machines are one system, each has ids of its own. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: a name that is no host name. `ENAMETOOLONG`. `EEXIST`. `ENOSPC`: as many as can be.
    /// `ENOMEM`.
    pub(crate) fn make(&self, name: &CStr) -> Result<Arc<Partition>> {
        let bytes = name.as_bytes();
        if bytes.len() > NAME_MAX {
            return Err(name_too_long());
        }
        let good = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if bytes.is_empty() || bytes[0] == b'-' || !bytes.iter().all(good) {
            pr_err!("a kernel's name is made of letters, digits, '-' and '_'\n");
            return Err(EINVAL);
        }
        let mut kernels = self.kernels.lock();
        if kernels
            .iter()
            .flatten()
            .any(|kernel| kernel.name().as_bytes() == bytes)
        {
            return Err(EEXIST);
        }
        // Not this one's, nor that of a kernel of another machine.
        let ours = param!(pcn_boot_first_node: u32)..=param!(pcn_boot_last_node: u32);
        let free = |node: &NodeId| {
            !popcorn_msg::is_known(*node)
                && ours.contains(&u32::from(node.get()))
                && kernels.get(node.index()).is_some_and(Option::is_none)
        };
        let node = NodeId::all().find(free).ok_or_else(errno::no_space)?;
        let kernel = Partition::new(name, node)?;
        if let Some(slot) = kernels.get_mut(node.index()) {
            *slot = Some(kernel.clone());
        }
        Ok(kernel)
    }

    /// The kernel with this name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Arc<Partition>> {
        let kernels = self.kernels.lock();
        let mut all = kernels.iter().flatten();
        all.find(|kernel| kernel.name().as_bytes() == name).cloned()
    }

    /// Forgets a kernel, and gives back all that it has; it is stopped if it runs. May sleep.
    pub(crate) fn forget(&self, kernel: &Partition) {
        // Its name and node id are free only when all else is.
        kernel.close();
        let mut kernels = self.kernels.lock();
        let forgotten = kernels
            .get_mut(kernel.node().index())
            .and_then(Option::take);
        drop(kernels);
        drop(forgotten);
    }
}

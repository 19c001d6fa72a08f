// SPDX-License-Identifier: GPL-2.0
//! A table keyed by a number, under a spinlock.
//!
//! Values are cheap to clone (an `Arc`), so that nobody holds the lock while using one. Never taken
//! in interrupt context. The lock is a leaf: nothing is called under it but `clone`.

use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::rbtree::RBTreeNode;
use kernel::sync::LockClassKey;
use kernel::sync::SpinLock;

/// Maps `u64` to `V`.
#[pin_data]
pub struct Table<V: Clone + Send> {
    #[pin]
    tree: SpinLock<RBTree<u64, V>>,
}

/// Creates a [`Table`] initialiser with a lock class of its own.
#[macro_export]
macro_rules! new_table {
    ($name:literal) => {
        $crate::table::Table::new(::kernel::c_str!($name), ::kernel::static_lock_class!())
    };
}

impl<V: Clone + Send> Table<V> {
    /// An empty table. Use [`new_table!`](crate::new_table).
    pub fn new(name: &'static CStr, key: &'static LockClassKey) -> impl PinInit<Self> {
        pin_init!(Self {
            tree <- SpinLock::new(RBTree::new(), name, key),
        })
    }

    /// Adds a value. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: the key is taken. `ENOMEM`.
    pub fn insert(&self, key: u64, value: V) -> Result {
        let node = RBTreeNode::new(key, value, GFP_KERNEL)?;
        let mut tree = self.tree.lock();
        if tree.get(&key).is_some() {
            drop(tree);
            // The node is freed here, not under the lock: dropping a value may do anything.
            drop(node);
            return Err(EEXIST);
        }
        let replaced = tree.insert(node);
        drop(tree);
        drop(replaced);
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, key: u64) -> Option<V> {
        self.tree.lock().get(&key).cloned()
    }

    /// Takes the value of a key out.
    pub fn remove(&self, key: u64) -> Option<V> {
        let node = self.tree.lock().remove_node(&key);
        node.map(|node| node.to_key_value().1)
    }

    /// Takes some value out for which `wanted` holds. `wanted` runs under the lock.
    pub fn remove_if(&self, mut wanted: impl FnMut(u64, &V) -> bool) -> Option<V> {
        let node = {
            let mut tree = self.tree.lock();
            let key = tree
                .iter()
                .find(|(key, value)| wanted(**key, value))
                .map(|(key, _)| *key);
            key.and_then(|key| tree.remove_node(&key))
        };
        node.map(|node| node.to_key_value().1)
    }

    /// The entry with the smallest key that is at least `from`: with it one steps through the table
    /// without holding the lock.
    pub fn next(&self, from: u64) -> Option<(u64, V)> {
        let mut tree = self.tree.lock();
        let cursor = tree.cursor_lower_bound(&from)?;
        let (key, value) = cursor.current();
        Some((*key, value.clone()))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.tree.lock().iter().next().is_none()
    }
}

// SPDX-License-Identifier: GPL-2.0
//! First in, first out, of bounded length, in place.

/// At most `N` items, in the order in which they came.
///
/// # Invariants
///
/// `count` items, from `first` on and from the begin again, are there; all others are `None`. `first` is
/// below `N`, `count` not above.
pub struct Fifo<T, const N: usize> {
    items: [Option<T>; N],
    first: usize,
    count: usize,
}

impl<T, const N: usize> Fifo<T, N> {
    const NOT_EMPTY: () = assert!(N > 0, "there must be room for one");

    /// Nothing in it.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        let () = Self::NOT_EMPTY;
        Self {
            items: [const { None }; N],
            first: 0,
            count: 0,
        }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is no room.
    pub const fn is_full(&self) -> bool {
        self.count == N
    }

    /// Adds one behind all others.
    ///
    /// # Errors
    ///
    /// There is no room: it comes back.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        let at = (self.first + self.count) % N;
        match self.items.get_mut(at) {
            Some(place) => *place = Some(item),
            None => return Err(item),
        }
        self.count += 1;
        Ok(())
    }

    /// The first one.
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.items.get_mut(self.first)?.as_mut()
    }

    /// Takes the first one out.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.items.get_mut(self.first)?.take()?;
        self.first = (self.first + 1) % N;
        self.count -= 1;
        Some(item)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Who has connected and not yet said who he is. There is room for few, and whoever fills it must not keep others out.

use core::net::IpAddr;

#[derive(Clone, Copy, Debug)]
struct Stranger {
    host: IpAddr,
    number: u64,
}

/// At most `N` strangers.
///
/// The newest always gets in. If there is no room, the host that has most of them loses its oldest; of several such hosts
/// the one whose stranger is oldest. So who comes from a host of his own is not put out by any number from another, and
/// among those of one host each has as long as it takes so many others to come.
#[derive(Clone, Debug)]
pub struct Strangers<const N: usize> {
    present: [Option<Stranger>; N],
    next: u64,
}

impl<const N: usize> Default for Strangers<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Strangers<N> {
    /// Nobody.
    pub const fn new() -> Self {
        Self {
            present: [None; N],
            next: 0,
        }
    }

    /// One more from that host: his number, and whether another one had to go for him.
    pub fn enter(&mut self, host: IpAddr) -> (u64, bool) {
        let number = self.next;
        self.next += 1;
        let newest = Stranger { host, number };
        let free = self.present.iter().position(Option::is_none);
        let place = free.or_else(|| self.whose_turn_is_over(host));
        if let Some(slot) = place.and_then(|place| self.present.get_mut(place)) {
            *slot = Some(newest);
        }
        (number, free.is_none())
    }

    /// Whether he is still here.
    pub fn is_here(&self, number: u64) -> bool {
        self.present
            .iter()
            .flatten()
            .any(|one| one.number == number)
    }

    /// He has said who he is, or has gone. Nothing if he was put out before.
    pub fn leave(&mut self, number: u64) {
        for slot in &mut self.present {
            if slot.is_some_and(|one| one.number == number) {
                *slot = None;
            }
        }
    }

    /// The place that one from `host` gets.
    fn whose_turn_is_over(&self, host: IpAddr) -> Option<usize> {
        let number_from = |other: IpAddr| {
            let present = self.present.iter().flatten();
            present.filter(|one| one.host == other).count() + usize::from(other == host)
        };
        let all = self.present.iter().enumerate();
        let all = all.filter_map(|(place, one)| one.map(|one| (place, one)));
        let (place, _) =
            all.max_by_key(|(_, one)| (number_from(one.host), core::cmp::Reverse(one.number)))?;
        Some(place)
    }
}

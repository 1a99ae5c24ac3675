//! Which machines are answered, and a bounded memory of which were reported.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError, RwLock},
};

/// Strangers remembered as reported; a scan of a /20 fits. The oldest is forgotten first.
const STRANGERS: usize = 4096;

/// The addresses of the machines that are answered. Shared, and changed at run time.
#[derive(Debug, Default)]
pub struct Known {
    addresses: RwLock<HashSet<IpAddr>>,
    strangers: Reported<IpAddr>,
}

/// Whether a machine is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is one of ours.
    Known,
    /// It is not, and was not seen before: report it.
    NewStranger,
    /// It is not, and was reported.
    Stranger,
}

impl Known {
    /// Knows exactly `addresses`.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let known = Self::default();
        known.replace(addresses);
        known
    }

    /// Knows exactly `addresses` from now on.
    pub fn replace(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().map(|ip| ip.to_canonical()).collect();
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Knows `address` as well.
    pub fn insert(&self, address: IpAddr) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        addresses.insert(address.to_canonical());
    }

    /// Does not know `address` any more.
    pub fn remove(&self, address: IpAddr) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        addresses.remove(&address.to_canonical());
    }

    /// Whether `address` is known; says once of each stranger that it is new.
    pub fn admit(&self, address: IpAddr) -> Admission {
        let address = address.to_canonical();
        if self.addresses.read().unwrap_or_else(PoisonError::into_inner).contains(&address) {
            Admission::Known
        } else if self.strangers.first(address) {
            Admission::NewStranger
        } else {
            Admission::Stranger
        }
    }
}

/// Remembers what was reported, so that it is reported once, in bounded memory.
#[derive(Debug)]
pub struct Reported<K>(Mutex<(HashSet<K>, VecDeque<K>)>);

impl<K> Default for Reported<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> Reported<K> {
    /// True the first time `key` is given.
    pub fn first(&self, key: K) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, order) = &mut *memory;
        if !set.insert(key) {
            return false;
        }
        order.push_back(key);
        if order.len() > STRANGERS
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_new_once_and_can_become_known() {
        let node: IpAddr = "10.0.0.1".parse().unwrap();
        let known = Known::new([]);
        assert_eq!(known.admit(node), Admission::NewStranger);
        assert_eq!(known.admit(node), Admission::Stranger);
        known.insert(node);
        assert_eq!(known.admit("::ffff:10.0.0.1".parse().unwrap()), Admission::Known);
        known.remove(node);
        assert_eq!(known.admit(node), Admission::Stranger);
    }

    #[test]
    fn the_memory_is_bounded() {
        let reported = Reported::default();
        for key in 0..3 * STRANGERS {
            assert!(reported.first(key));
        }
        assert!(!reported.first(3 * STRANGERS - 1));
        let memory = reported.0.lock().unwrap();
        assert_eq!((memory.0.len(), memory.1.len()), (STRANGERS, STRANGERS));
    }
}

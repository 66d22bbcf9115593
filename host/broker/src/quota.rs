//! Quotas: totals of a realm, and the share of each that one client may use. Without the share, one
//! client could use up a total with many sessions, and all others would be refused.
//!
//! Counting is one look-up. A client that uses nothing is not in the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::client_key::ClientKey;

/// A total, and the share of it that one client may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// The things counted, in the plural.
    pub(crate) what: &'static str,
    /// The setting of the total, if it has one.
    pub(crate) setting: Option<&'static str>,
    pub(crate) total: usize,
    /// The share of one client, in per cent of the total.
    pub(crate) client_percent: u32,
}

/// The use of a quota, by client.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    used: usize,
    by_client: HashMap<ClientKey, usize>,
}

/// A total of the realm is used up, or the client's share of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct QuotaError {
    what: &'static str,
    setting: Option<&'static str>,
    limit: usize,
    /// The client's share in per cent, if the share is used up and not the total.
    client_percent: Option<u32>,
}

impl Quota {
    /// Returns the number that one client may use: at least one.
    fn share(&self) -> usize {
        let percent = usize::try_from(self.client_percent).unwrap_or(usize::MAX);
        // Cannot overflow. Rounding loses less than one.
        let share = self.total / 100 * percent + self.total % 100 * percent / 100;
        share.clamp(1, self.total.max(1))
    }
}

impl Usage {
    /// Checks that the client may use one more.
    ///
    /// # Errors
    /// [`QuotaError`]
    pub(crate) fn check(&self, client: ClientKey, quota: Quota) -> Result<(), QuotaError> {
        let Quota { what, setting, total, client_percent } = quota;
        if self.used >= total {
            return Err(QuotaError { what, setting, limit: total, client_percent: None });
        }
        let (share, own) = (quota.share(), self.by_client.get(&client).copied());
        if own.unwrap_or_default() >= share {
            let client_percent = Some(client_percent);
            return Err(QuotaError { what, setting, limit: share, client_percent });
        }
        Ok(())
    }

    /// Counts one more for the client.
    pub(crate) fn add(&mut self, client: ClientKey) {
        self.used += 1;
        *self.by_client.entry(client).or_default() += 1;
    }

    /// Charges a shared thing again after one of its users has left: to the same client if that
    /// still uses it, else to another user, else to none.
    pub(crate) fn pass_on(
        &mut self,
        charged: &mut ClientKey,
        mut users: impl Iterator<Item = ClientKey> + Clone,
    ) {
        if users.clone().any(|user| user == *charged) {
            return;
        }
        self.remove(*charged, 1);
        if let Some(next) = users.next() {
            self.add(next);
            *charged = next;
        }
    }

    /// Counts `count` less for the client.
    pub(crate) fn remove(&mut self, client: ClientKey, count: usize) {
        let Entry::Occupied(mut own) = self.by_client.entry(client) else { return };
        let count = count.min(*own.get());
        *own.get_mut() -= count;
        self.used -= count;
        if *own.get() == 0 {
            own.remove();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0 && self.by_client.is_empty()
    }

    /// How much all clients use.
    pub(crate) const fn used(&self) -> usize {
        self.used
    }
}

impl QuotaError {
    /// Returns whether the client's share is used up, so that others may still use the total.
    pub const fn is_of_client(&self) -> bool {
        self.client_percent.is_some()
    }
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, setting, limit, client_percent } = self;
        match (client_percent, setting) {
            (Some(percent), _) => write!(
                f,
                "maximum {what} for one client reached ({limit}, this client's share; \
                 limits.client_percent = {percent})"
            ),
            (None, Some(setting)) => write!(f, "maximum {what} reached ({setting} = {limit})"),
            (None, None) => write!(f, "maximum {what} reached ({limit})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::Identity;

    fn client(number: u8) -> ClientKey {
        let address = IpAddr::from([192, 0, 2, number]);
        ClientKey::of(&Identity::anonymous(String::new(), address))
    }

    fn quota(total: usize, client_percent: u32) -> Quota {
        Quota { what: "cups of the realm", setting: Some("limits.cups"), total, client_percent }
    }

    #[test]
    fn leaves_the_rest_of_a_total_to_others() {
        let (mut usage, quota) = (Usage::default(), quota(8, 50));
        for _ in 0..4 {
            usage.check(client(1), quota).unwrap();
            usage.add(client(1));
        }
        let error = usage.check(client(1), quota).unwrap_err();
        assert!(error.is_of_client());
        assert_eq!(
            error.to_string(),
            "maximum cups of the realm for one client reached (4, this client's share; \
             limits.client_percent = 50)"
        );
        for _ in 0..4 {
            usage.check(client(2), quota).unwrap();
            usage.add(client(2));
        }
        let error = usage.check(client(3), quota).unwrap_err();
        assert_eq!(error.to_string(), "maximum cups of the realm reached (limits.cups = 8)");
        usage.remove(client(1), 4);
        usage.remove(client(2), 4);
        assert!(usage.is_empty());
    }

    #[test]
    fn computes_shares() {
        for (total, percent, share) in [
            (500_000, 25, 125_000),
            (199, 50, 99),
            (2, 25, 1),
            (7, 100, 7),
            (usize::MAX, 1, usize::MAX / 100),
        ] {
            assert_eq!(quota(total, percent).share(), share, "{percent} % of {total}");
        }
    }

    proptest::proptest! {
        /// The sum always equals that of all clients, and nothing remains at the end.
        #[test]
        fn forgets_clients_that_use_nothing(
            steps in proptest::collection::vec((0..4_u8, proptest::bool::ANY), 0..200)
        ) {
            let (mut usage, quota) = (Usage::default(), quota(20, 25));
            let mut held = [0_usize; 4];
            for (number, adds) in steps {
                let own = &mut held[usize::from(number)];
                if adds && usage.check(client(number), quota).is_ok() {
                    usage.add(client(number));
                    *own += 1;
                } else if !adds && *own > 0 {
                    usage.remove(client(number), 1);
                    *own -= 1;
                }
                proptest::prop_assert!(*own <= 5);
                proptest::prop_assert_eq!(usage.used(), held.iter().sum::<usize>());
            }
            for (number, own) in (0..).zip(held) {
                usage.remove(client(number), own);
            }
            proptest::prop_assert!(usage.is_empty());
        }
    }
}

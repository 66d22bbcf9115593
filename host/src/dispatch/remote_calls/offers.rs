//! Offers: the procedures of this node's clients, as other nodes know them.
//!
//! A procedure is announced before it is registered, and REGISTERED waits until the other nodes have
//! applied it, for a bounded time: from then on, a call on any node finds it, and no other node grants it to
//! another client. Of two nodes that announce a procedure at the same time, both see the other's claim, and the
//! younger one withdraws.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use jackfield_broker::peers::InterestKey;
use jackfield_broker::{Claim, PendingFlushes, Session, Terms};
use jackfield_wamp::message::{InvocationPolicy, Register};
use serde_json::json;

use crate::cluster::{ACKNOWLEDGE_TIMEOUT, ClusterNode, Subject};
use crate::dispatch::{Dispatch, Refusal, flush_before_wait};
use crate::wall_clock;

/// The procedures that are announced and not yet registered, with the age of each claim.
#[derive(Default)]
pub(in crate::dispatch) struct Offers {
    /// A std mutex: held while an offer is computed and told, so that the newest one is told last, and while
    /// offers of other nodes are applied. The locks of the dealer and of the peers are taken under it, one
    /// after the other.
    claims: Mutex<HashMap<InterestKey, Vec<(u64, InvocationPolicy)>>>,
}

type Claims<'a> = MutexGuard<'a, HashMap<InterestKey, Vec<(u64, InvocationPolicy)>>>;

impl Offers {
    pub(super) fn lock(&self) -> Claims<'_> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A procedure that is announced. It ends when this is dropped; the registration has taken its place then,
/// or there is none.
struct Announced<'a> {
    dispatch: &'a Dispatch,
    cluster: &'a ClusterNode,
    key: InterestKey,
    stamp: u64,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        let mut claims = self.dispatch.offers.lock();
        if let Some(of_key) = claims.get_mut(&self.key) {
            if let Some(place) = of_key.iter().position(|(stamp, _)| *stamp == self.stamp) {
                of_key.remove(place);
            }
            if of_key.is_empty() {
                claims.remove(&self.key);
            }
        }
        self.dispatch.offer(self.cluster, &self.key, &claims);
    }
}

impl Dispatch {
    /// Registers a procedure of a client for all nodes. Its rights were checked.
    pub(in crate::dispatch) async fn register_everywhere(
        &self,
        cluster: &ClusterNode,
        from: &Arc<Session>,
        register: &Register,
        batch: &mut PendingFlushes,
    ) -> Result<(), Refusal> {
        let Register { options, procedure, .. } = register;
        let key = InterestKey::registration(self.realm.name(), options.policy, procedure);
        if options.force_reregister {
            self.dealer.check_register(from, register, Claim::default())?;
            flush_before_wait(batch, self.replace_on_nodes(cluster, &key)).await;
        }
        let (claim, barrier) = {
            let mut claims = self.offers.lock();
            let claim = self.claim(cluster, &key);
            self.dealer.check_register(from, register, claim)?;
            claims.entry(key.clone()).or_default().push((claim.stamp, options.invoke));
            (claim, self.offer(cluster, &key, &claims))
        };
        let announced = Announced { dispatch: self, cluster, key, stamp: claim.stamp };
        if let Some(barrier) = barrier {
            flush_before_wait(batch, cluster.applied(barrier)).await;
        }
        let registered = self.dealer.register_claimed(from, register, claim, batch);
        drop(announced);
        Ok(registered?)
    }

    /// Returns a claim that is younger than those which are known here, also if the clock is behind. A
    /// registration that exists is older than all later ones.
    fn claim(&self, cluster: &ClusterNode, key: &InterestKey) -> Claim {
        let newest = self.dealer.newest_elsewhere(key.uri(), key.policy());
        Claim { stamp: stamp().max(newest.saturating_add(1)), node: cluster.id() }
    }

    /// Tells the other nodes which procedures of this one have changed.
    pub(in crate::dispatch) fn tell_offers(&self) {
        let Some(cluster) = &self.cluster else { return };
        let claims = self.offers.lock();
        for key in self.dealer.take_changed_offers(self.realm.name()) {
            let _not_awaited = self.offer(cluster, &key, &claims);
        }
    }

    /// Tells the other nodes the part of this node in a procedure. Returns the wait until they have
    /// applied it.
    fn offer(
        &self,
        cluster: &ClusterNode,
        key: &InterestKey,
        claims: &Claims<'_>,
    ) -> Option<jackfield_broker::peers::Barrier> {
        let registered = self.dealer.terms(key.uri(), key.policy());
        let claimed = claims.get(key).into_iter().flatten();
        let terms = claimed
            .fold(registered, |terms, (stamp, invoke)| Some(Terms::with(terms, *invoke, *stamp)));
        cluster.offer(key, &Terms::stake(terms))
    }

    /// Ends the registrations of a procedure on other nodes. A node that does not answer keeps its registration,
    /// and this one is refused.
    async fn replace_on_nodes(&self, cluster: &ClusterNode, key: &InterestKey) {
        let nodes = cluster.shared().read(|peers| peers.nodes_with(key));
        let question = json!([key.realm(), key.uri()]).to_string();
        let asked = nodes.iter().map(|(node, _)| {
            cluster.exchange().ask(*node, Subject::Calls, question.as_bytes(), ACKNOWLEDGE_TIMEOUT)
        });
        join_all(asked).await;
    }

    /// Ends the registration of a procedure, which a client of another node wants alone. The other nodes
    /// know it before the answer.
    pub(crate) fn replace_for_node(&self, procedure: &str) {
        let mut batch = PendingFlushes::default();
        self.dealer.replace(procedure, &mut batch);
        self.tell_registrations(&mut batch);
    }
}

/// Returns the time in microseconds since the Unix epoch.
fn stamp() -> u64 {
    u64::try_from(wall_clock::since_epoch().as_micros()).unwrap_or(u64::MAX)
}

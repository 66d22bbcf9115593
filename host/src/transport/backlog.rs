//! Backlog: messages of all connections that wait for a handler, and push-back on the clients that
//! hold the most of them.
//!
//! A message that its handler answers at once is not counted, nor is a short one. At the limit, or
//! at one client's share of it, a connection reads only the beginning of a long message until other
//! messages have been handled. At twice the limit it reads nothing, because short messages can
//! become long ones when they are decoded. Counted messages wait for handlers alone, never for a
//! connection that is not read, so the total always decreases. Called by
//! [`ClientTransport`](super::ClientTransport), by connections and by the API.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use jackfield_broker::ClientKey;

use super::MIN_ARRIVING_BYTES;

/// Bytes of messages that wait for handlers, by client, and the paused connections.
pub(crate) struct Backlog {
    limit: AtomicUsize,
    /// The maximum number of bytes of one client.
    share: AtomicUsize,
    /// The sum of all bytes, readable without the lock under which it changes.
    bytes: AtomicUsize,
    /// A std mutex: it is held for a few look-ups. No other lock is taken under it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_client: HashMap<ClientKey, usize>,
    paused: Paused,
}

/// Paused connections. Clients take turns, so that one with many connections does not delay the
/// others.
#[derive(Default)]
struct Paused {
    by_connection: HashMap<u64, PausedConnection>,
    /// The paused connections of each client, by ticket; empty if all of them have ended.
    by_client: HashMap<Option<ClientKey>, BTreeMap<u64, u64>>,
    /// The clients of `by_client`, each once.
    turns: VecDeque<Option<ClientKey>>,
    /// The last ticket: connections are resumed in the order in which they were paused.
    ticket: u64,
}

struct PausedConnection {
    client: Option<ClientKey>,
    ticket: u64,
    waker: Waker,
}

/// The part of a message that a connection is about to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The beginning, before the length is known.
    Beginning,
    /// The rest of a long message.
    Rest,
}

/// Bytes of one holder. Dropping it frees them.
pub(crate) struct Held {
    backlog: Arc<Backlog>,
    client: ClientKey,
    bytes: usize,
}

/// The multiple of a limit at which a connection does not even read the beginning of a message.
const BEGINNINGS_FACTOR: usize = 2;

/// The maximum number of clients whose turn is checked when bytes become free: each resumed
/// connection may hold a whole message.
const MAX_TURNS: usize = 16;

/// The maximum number of bytes of one client.
fn share(limit: usize, client_percent: u32) -> usize {
    let percent = usize::try_from(client_percent).unwrap_or(usize::MAX);
    (limit / 100).saturating_mul(percent).clamp(1, limit.max(1))
}

impl Backlog {
    /// Creates an empty backlog of at most `limit` bytes, of which each client may hold
    /// `client_percent` per cent.
    pub(crate) fn new(limit: usize, client_percent: u32) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            share: AtomicUsize::new(share(limit, client_percent)),
            bytes: AtomicUsize::new(0),
            state: Mutex::default(),
        })
    }

    /// Replaces the limits. Connections that are paused are looked at when bytes become free.
    pub(super) fn set_limits(&self, limit: usize, client_percent: u32) {
        self.limit.store(limit, Ordering::Relaxed);
        self.share.store(share(limit, client_percent), Ordering::Relaxed);
    }

    /// Returns the limit in bytes, at which connections are paused.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    fn share(&self) -> usize {
        self.share.load(Ordering::Relaxed)
    }

    /// Returns the current sum of bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Runs the work, and counts its bytes while it waits.
    pub(crate) fn counted<T>(
        self: &Arc<Self>,
        client: ClientKey,
        bytes: usize,
        mut work: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = T> {
        let mut held = None;
        poll_fn(move |context| {
            let polled = work.poll_unpin(context);
            if polled.is_pending() && held.is_none() && bytes >= MIN_ARRIVING_BYTES {
                held = Some(self.hold(client, bytes));
            }
            polled
        })
    }

    /// Counts bytes of a client.
    pub(crate) fn hold(self: &Arc<Self>, client: ClientKey, bytes: usize) -> Held {
        let mut held = Held { backlog: Arc::clone(self), client, bytes: 0 };
        held.set(bytes);
        held
    }

    /// Ready if the client may hold more. If not, the connection with this number is woken when
    /// that may have changed.
    pub(super) fn poll_room(
        &self,
        connection: u64,
        client: Option<ClientKey>,
        part: Part,
        context: &Context<'_>,
    ) -> Poll<()> {
        // Nearly always; no client holds more than all together.
        if self.bytes() < self.share() {
            return Poll::Ready(());
        }
        let mut state = self.lock();
        if self.has_room_for(&state, client, part) {
            return Poll::Ready(());
        }
        state.paused.add(connection, client, context.waker());
        Poll::Pending
    }

    /// Removes a connection that has ended.
    pub(super) fn forget(&self, connection: u64) {
        self.lock().paused.forget(connection);
    }

    fn has_room_for(&self, state: &State, client: Option<ClientKey>, part: Part) -> bool {
        let factor = match part {
            Part::Beginning => BEGINNINGS_FACTOR,
            Part::Rest => 1,
        };
        let own = client.and_then(|client| state.by_client.get(&client).copied());
        self.bytes() < self.limit().saturating_mul(factor)
            && own.unwrap_or_default() < self.share().saturating_mul(factor)
    }

    /// Replaces a client's `before` bytes by `after` bytes.
    fn replace(&self, client: ClientKey, before: usize, after: usize) {
        let mut state = self.lock();
        let own = state.by_client.entry(client).or_default();
        *own = own.saturating_sub(before).saturating_add(after);
        if *own == 0 {
            state.by_client.remove(&client);
        }
        let all = self.bytes().saturating_sub(before).saturating_add(after);
        self.bytes.store(all, Ordering::Relaxed);
        let resumed = if after < before { self.resume(&mut state) } else { Vec::new() };
        drop(state);
        resumed.into_iter().for_each(Waker::wake);
    }

    /// Takes connections to resume: one of each client whose turn it is, and below half of the
    /// limit all of them. Each call is followed by another one as long as bytes are held.
    fn resume(&self, state: &mut State) -> Vec<Waker> {
        let is_low = self.bytes().saturating_mul(2) < self.limit();
        let mut wakers = Vec::new();
        let mut looks = state.paused.turns.len();
        if !is_low {
            looks = looks.min(MAX_TURNS);
        }
        for _ in 0..looks {
            let Some(client) = state.paused.turns.pop_front() else { break };
            if self.has_room_for(state, client, Part::Rest) {
                wakers.extend(state.paused.take(client, is_low));
            }
            if state.paused.by_client.contains_key(&client) {
                state.paused.turns.push_back(client);
            }
        }
        wakers
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paused {
    fn add(&mut self, connection: u64, client: Option<ClientKey>, waker: &Waker) {
        if let Some(known) = self.by_connection.get_mut(&connection) {
            known.waker.clone_from(waker);
            return;
        }
        self.ticket += 1;
        let (ticket, waker) = (self.ticket, waker.clone());
        self.by_connection.insert(connection, PausedConnection { client, ticket, waker });
        let connections = self.by_client.entry(client).or_insert_with(|| {
            self.turns.push_back(client);
            BTreeMap::new()
        });
        connections.insert(ticket, connection);
    }

    fn forget(&mut self, connection: u64) {
        let Some(paused) = self.by_connection.remove(&connection) else { return };
        if let Some(connections) = self.by_client.get_mut(&paused.client) {
            connections.remove(&paused.ticket);
        }
    }

    /// Takes the client's first connection, or all of them.
    fn take(&mut self, client: Option<ClientKey>, all: bool) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let Some(connections) = self.by_client.get_mut(&client) else { return wakers };
        while (all || wakers.is_empty())
            && let Some((_, connection)) = connections.pop_first()
        {
            wakers.extend(self.by_connection.remove(&connection).map(|it| it.waker));
        }
        if connections.is_empty() {
            self.by_client.remove(&client);
        }
        wakers
    }
}

impl Held {
    /// Sets the number of held bytes.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.backlog.replace(self.client, self.bytes, bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use jackfield_broker::Identity;

    use super::*;

    const KIB: usize = 1 << 10;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn client(number: u8) -> ClientKey {
        let address = IpAddr::from([192, 0, 2, number]);
        ClientKey::of(&Identity::anonymous(String::new(), address))
    }

    /// Asks for room for a connection of a client. Returns the signal for waking it, if it is
    /// paused.
    fn pause(backlog: &Backlog, connection: u64, client: ClientKey) -> Option<Arc<Woken>> {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let context = Context::from_waker(&waker);
        let room = backlog.poll_room(connection, Some(client), Part::Rest, &context);
        room.is_pending().then_some(woken)
    }

    fn reads_beginnings(backlog: &Backlog, client: Option<ClientKey>) -> bool {
        let context = Context::from_waker(Waker::noop());
        let is_ready = backlog.poll_room(0, client, Part::Beginning, &context).is_ready();
        backlog.forget(0);
        is_ready
    }

    fn is_woken(paused: &Arc<Woken>) -> bool {
        paused.0.load(Ordering::Relaxed)
    }

    #[test]
    fn pauses_a_client_at_its_share_and_no_other() {
        let backlog = Backlog::new(100 * KIB, 25);
        let first = backlog.hold(client(1), 20 * KIB);
        assert!(pause(&backlog, 1, client(1)).is_none());
        let second = backlog.hold(client(1), 20 * KIB);
        let paused = pause(&backlog, 1, client(1)).unwrap();
        assert!(pause(&backlog, 2, client(2)).is_none());
        assert!(!is_woken(&paused));
        drop(first);
        assert!(is_woken(&paused));
        drop(second);
        assert_eq!(backlog.bytes(), 0);
        assert!(backlog.lock().by_client.is_empty());
    }

    #[test]
    fn reads_no_beginning_at_twice_the_limit() {
        let backlog = Backlog::new(100 * KIB, 25);
        let own = backlog.hold(client(1), 49 * KIB);
        assert!(reads_beginnings(&backlog, Some(client(1))));
        let more = backlog.hold(client(1), KIB);
        assert!(!reads_beginnings(&backlog, Some(client(1))));
        assert!(reads_beginnings(&backlog, Some(client(2))) && reads_beginnings(&backlog, None));
        let others = backlog.hold(client(3), 150 * KIB);
        assert!(!reads_beginnings(&backlog, Some(client(2))) && !reads_beginnings(&backlog, None));
        drop((own, more, others));
        assert!(reads_beginnings(&backlog, Some(client(1))));
    }

    #[test]
    fn keeps_nothing_of_connections_that_end_while_paused() {
        let backlog = Backlog::new(KIB, 100);
        let held = backlog.hold(client(1), KIB);
        for connection in 0..100 {
            assert!(pause(&backlog, connection, client(2)).is_some());
            backlog.forget(connection);
        }
        {
            let paused = &backlog.lock().paused;
            assert!(paused.by_connection.is_empty() && paused.turns.len() == 1);
            assert!(paused.by_client.values().all(BTreeMap::is_empty));
        }
        let last = pause(&backlog, 100, client(2)).unwrap();
        drop(held);
        assert!(is_woken(&last));
        assert!(backlog.lock().paused.by_client.is_empty());
    }

    #[test]
    fn pauses_all_clients_at_the_limit() {
        let backlog = Backlog::new(100 * KIB, 25);
        let mut held: Vec<_> = (0..4).map(|it| backlog.hold(client(it), 25 * KIB)).collect();
        let paused = [10, 11].map(|number| pause(&backlog, number.into(), client(number)).unwrap());
        let heavy = pause(&backlog, 12, client(1)).unwrap();
        held.remove(0);
        assert!(paused.iter().all(is_woken), "others go on first");
        assert!(!is_woken(&heavy));
        held.clear();
        assert!(is_woken(&heavy));
    }

    #[test]
    fn wakes_one_connection_of_a_client_at_a_time_until_it_is_half_empty() {
        let backlog = Backlog::new(100 * KIB, 100);
        let mut held: Vec<_> = (0..100).map(|_| backlog.hold(client(1), KIB)).collect();
        let heavy = [1, 2, 3].map(|number| pause(&backlog, number, client(2)).unwrap());
        let other = pause(&backlog, 4, client(3)).unwrap();
        held.pop();
        assert_eq!(heavy.each_ref().map(is_woken), [true, false, false]);
        assert!(is_woken(&other));
        held.truncate(49);
        assert!(heavy.iter().all(is_woken));
    }

    #[test]
    fn always_lets_a_client_hold_something() {
        let backlog = Backlog::new(1, 1);
        let held = backlog.hold(client(1), KIB);
        let paused = pause(&backlog, 1, client(1)).unwrap();
        backlog.forget(2);
        drop(held);
        assert!(is_woken(&paused));
        assert!(pause(&backlog, 1, client(1)).is_none());
    }

    #[tokio::test]
    async fn counts_work_that_waits_and_is_long() {
        let backlog = Backlog::new(100 * KIB, 25);
        let work = |bytes| {
            let backlog = Arc::clone(&backlog);
            async move {
                let before = backlog.bytes();
                tokio::task::yield_now().await;
                (before, backlog.bytes(), bytes)
            }
        };
        for (bytes, expected) in [(8 * KIB, 8 * KIB), (KIB, 0)] {
            let seen = backlog.counted(client(1), bytes, Box::pin(work(bytes))).await;
            assert_eq!(seen, (0, expected, bytes));
            assert_eq!(backlog.bytes(), 0);
        }
    }

    proptest::proptest! {
        /// For any bytes that clients held: no connection is paused when they hold none.
        #[test]
        fn leaves_no_connection_paused(
            steps in proptest::collection::vec((0..3_u8, 0..40_usize, 0..8_u64), 1..100)
        ) {
            let backlog = Backlog::new(40 * KIB, 50);
            let mut held: Vec<Held> = (0..3).map(|it| backlog.hold(client(it), 0)).collect();
            let mut paused = Vec::new();
            for (number, kibibytes, connection) in steps {
                held[usize::from(number)].set(kibibytes * KIB);
                paused.extend(pause(&backlog, connection, client(number)));
                let sum: usize = held.iter().map(|it| it.bytes).sum();
                proptest::prop_assert_eq!(backlog.bytes(), sum);
            }
            drop(held);
            let state = backlog.lock();
            proptest::prop_assert!(state.paused.by_connection.is_empty());
            proptest::prop_assert!(state.by_client.is_empty());
        }
    }
}

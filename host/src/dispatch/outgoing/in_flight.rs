//! Counter of the requests and calls of plugins that wait for their answers. The end of the server
//! waits until there are none.

use std::sync::Arc;

use tokio::sync::watch;

/// Effects that wait for their answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// Requests of HTTP.
    pub(crate) requests: usize,
    /// Calls of procedures.
    pub(crate) calls: usize,
}

/// The number of one kind of effect.
type KindOfEffect = fn(&mut InFlight) -> &mut usize;

/// The counter of a realm.
#[derive(Default)]
pub(super) struct InFlightCounter(Arc<watch::Sender<InFlight>>);

/// A place among the counted effects, given back when it is dropped. The default one counts nothing.
#[derive(Default)]
pub(super) struct Place(Option<(Arc<watch::Sender<InFlight>>, KindOfEffect)>);

impl InFlight {
    /// Whether there are none.
    pub(crate) const fn is_idle(self) -> bool {
        self.requests == 0 && self.calls == 0
    }
}

impl InFlightCounter {
    pub(super) fn request(&self) -> Place {
        self.take(|it| &mut it.requests)
    }

    pub(super) fn call(&self) -> Place {
        self.take(|it| &mut it.calls)
    }

    fn take(&self, kind: KindOfEffect) -> Place {
        self.0.send_modify(|it| *kind(it) += 1);
        Place(Some((Arc::clone(&self.0), kind)))
    }

    pub(super) fn now(&self) -> InFlight {
        *self.0.borrow()
    }

    /// Waits until there are none. Cancel-safe.
    pub(super) async fn idle(&self) {
        // The sender is `self`, so it exists.
        let _idle = self.0.subscribe().wait_for(|it| it.is_idle()).await.is_ok();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((counter, kind)) = &self.0 {
            counter.send_modify(|it| *kind(it) -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_idle_when_all_places_are_given_back() {
        let counter = InFlightCounter::default();
        counter.idle().await;
        let (request, call) = (counter.request(), counter.call());
        drop(Place::default());
        assert_eq!(counter.now(), InFlight { requests: 1, calls: 1 });
        let waiting = async {
            counter.idle().await;
            counter.now()
        };
        let ending = async {
            drop(request);
            tokio::task::yield_now().await;
            assert!(!counter.now().is_idle());
            drop(call);
        };
        assert!(tokio::join!(waiting, ending).0.is_idle());
    }
}

//! The gate between a hook and the world: its answer and its effects pass when all that it saw in
//! the store is saved, in the order of the lane.
//!
//! The lane goes on with the next hook meanwhile. A hook that did not use the store waits only
//! behind one that did: its own answer may rest on the memory of the instance, and its effects may
//! not overtake.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::SharedSpace;
use super::durable::Receipt;
use crate::fault::FaultKind;

/// The order in which hooks of one lane pass; tokio's mutex is fair.
pub(crate) type PassageOrder = Arc<Mutex<()>>;

/// The place of a hook that has passed: no later hook of the lane passes before it is dropped.
pub(crate) type Passed = OwnedMutexGuard<()>;

/// A hook that has ended and not passed.
pub(crate) struct Gate {
    receipt: Option<Receipt>,
    place: Place,
}

enum Place {
    First(Passed),
    Behind(Pin<Box<dyn Future<Output = Passed> + Send>>),
}

impl Gate {
    /// The gate of a hook that has just ended, while it has the lane still; none if it passes at
    /// once.
    ///
    /// # Errors
    /// The hook saw what is undone, perhaps only in the memory of its instance.
    pub(crate) fn behind(
        order: &PassageOrder,
        space: &SharedSpace,
        incarnation: u64,
        receipt: Option<Receipt>,
    ) -> Result<Option<Self>, FaultKind> {
        let Some(durable) = &space.durable else { return Ok(None) };
        let (place, receipt) = match (Arc::clone(order).try_lock_owned(), receipt) {
            (Ok(_), None) => (None, None),
            (Ok(first), receipt) => (Some(Place::First(first)), receipt),
            // The one before may end without passing, when its session does.
            (Err(_), receipt) => {
                (Some(Place::behind(order)), receipt.or_else(|| durable.pending(space)))
            }
        };
        // After all that was pending was looked at: what is lost is no longer pending.
        if durable.incarnation() != incarnation {
            return Err(durable.failed());
        }
        Ok(place.map(|place| Self { receipt, place }))
    }

    /// Waits until the hook may pass.
    ///
    /// # Errors
    /// What the hook saw could not be saved: it is undone.
    pub(crate) async fn pass(self) -> Result<Passed, FaultKind> {
        let passed = match self.place {
            Place::First(guard) => guard,
            Place::Behind(place) => place.await,
        };
        if let Some(receipt) = self.receipt {
            receipt.saved().await?;
        }
        Ok(passed)
    }
}

impl Place {
    /// A place is taken by the first poll.
    fn behind(order: &PassageOrder) -> Self {
        let mut place = Box::pin(Arc::clone(order).lock_owned());
        match place.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(first) => Self::First(first),
            Poll::Pending => Self::Behind(place),
        }
    }
}

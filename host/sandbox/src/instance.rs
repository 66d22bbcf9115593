//! Instance of a plugin: made, configured, called, and discarded after a fault. Faults are
//! classified here.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::{Store, StoreContextMut, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::backtrace;
use crate::contract::{AccessDescription, handler};
use crate::cpu::{MAX_WAIT, Meter, TooBusy};
use crate::exports::{Exports, PluginPre};
use crate::fault::{CallSite, Fault, FaultKind};
use crate::host_state::{HostState, HostTrap, MAX_RESOURCES, PluginContext};
use crate::request::RouteId;
use crate::route_config::RouteConfig;
use crate::ticker::{TICK, Ticker};

/// One instance: its store and its exports.
pub(crate) struct Instance {
    pub(crate) store: Store<HostState>,
    pub(crate) exports: Exports,
}

/// Failure of a call.
#[derive(Debug)]
pub(crate) enum CallFailure {
    Wasm(wasmtime::Error),
    /// Stopped from outside, because the plugin waited beyond its deadline.
    Overdue,
    /// Waited too long for CPU time, before or after it began.
    Busy {
        was_begun: bool,
    },
}

/// Grace after the deadline until a waiting call is stopped from outside. A computing call is
/// stopped at the first tick after the deadline, with a backtrace.
const GRACE: Duration = TICK.saturating_mul(2);
/// Bytes that may cross from the guest at once, in addition to the output limit, such as values for
/// the store. The engine stops larger transfers before they are copied.
const MAX_TRANSFER_BYTES: usize = 4 << 20;
/// Text of the engine's error in that case, which has no type.
const TOO_LARGE: &str = "fuel allocated for hostcalls has been exhausted";
/// Text of the operating system's refusal of memory.
const OUT_OF_MEMORY: &str = "os error 12";

impl Instance {
    /// Instantiates the plugin, which runs its start functions.
    pub(crate) async fn new(
        pre: &PluginPre,
        ticker: &Ticker,
        context: &Arc<PluginContext>,
        meter: &Arc<Meter>,
    ) -> Result<Self, Fault> {
        let limits = &context.limits;
        let mut store =
            Store::new(pre.engine(), HostState::new(Arc::clone(context), Arc::clone(meter)));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(limits.output.saturating_add(MAX_TRANSFER_BYTES));
        store.set_max_component_handles(MAX_RESOURCES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(overdue);
        let deadline = store.data_mut().begin_outside("");
        let running = ticker.run();
        let made = within(meter, deadline, pre.instantiate(&mut store)).await;
        drop(running);
        match made {
            Ok(exports) => Ok(Self { store, exports }),
            Err(failure) => Err(fault(store.data_mut(), CallSite::Describe, failure)),
        }
    }

    /// Drops the instance after a fault. The operating system takes milliseconds to give up a large
    /// memory, which would hold up a worker.
    pub(crate) fn discard(self) {
        let meter = Arc::clone(&self.store.data().meter);
        meter.run_slow(|| drop(self));
    }

    /// Calls `describe`. Returns the handlers that decide about access as well.
    pub(crate) async fn describe(
        &mut self,
        ticker: &Ticker,
    ) -> Result<(handler::Manifest, AccessDescription), Fault> {
        let _running = ticker.run();
        let deadline = self.store.data_mut().begin_outside("");
        self.store.set_epoch_deadline(1);
        let meter = Arc::clone(&self.store.data().meter);
        let Self { store, exports } = self;
        let described = async {
            let manifest = exports.describe(store).await?;
            Ok((manifest, exports.describe_access(store).await?))
        };
        match within(&meter, deadline, described).await {
            Ok(described) => {
                self.store.data_mut().drain_console();
                Ok(described)
            }
            Err(failure) => Err(fault(self.store.data_mut(), CallSite::Describe, failure)),
        }
    }

    /// Calls `configure` for one route; the inner error is the plugin's refusal. Writes to the
    /// store are saved if it accepts; effects are dropped.
    pub(crate) async fn configure(
        &mut self,
        ticker: &Ticker,
        id: RouteId,
        route: &RouteConfig,
    ) -> Result<Result<(), String>, Fault> {
        let _running = ticker.run();
        let deadline = self.store.data_mut().begin_outside(&route.handler);
        self.store.set_epoch_deadline(1);
        let meter = Arc::clone(&self.store.data().meter);
        let call_site = || {
            let (handler, route) = (route.handler.clone(), route.name.clone());
            CallSite::Configure { handler, route }
        };
        let call = self.exports.configure(&mut self.store, id, route);
        let answer = within(&meter, deadline, call).await;
        let guest = self.store.data_mut();
        match answer {
            Ok(answer) => {
                guest.drain_console();
                if answer.is_err() {
                    guest.journal.roll_back();
                    return Ok(answer);
                }
                let saved = match guest.journal.commit() {
                    Ok(None) => return Ok(answer),
                    Ok(Some(receipt)) => receipt.saved().await,
                    Err(kind) => Err(kind),
                };
                let guest = self.store.data_mut();
                let failed = |kind| fault_of_kind(guest, call_site(), kind, None);
                saved.map_err(failed).map(|()| answer)
            }
            Err(failure) => Err(fault(guest, call_site(), failure)),
        }
    }
}

/// Runs a call until shortly after its deadline, while it is fast or has a CPU turn.
pub(crate) async fn within<T: Send>(
    meter: &Meter,
    deadline: Instant,
    call: impl Future<Output = wasmtime::Result<T>> + Send,
) -> Result<T, CallFailure> {
    meter.begin();
    let mut call = pin!(call);
    let mut turn = None;
    let mut was_begun = false;
    loop {
        if turn.is_none() && meter.is_slow() {
            turn = meter.turn().await.map_err(|TooBusy| CallFailure::Busy { was_begun })?;
        }
        was_begun = true;
        // Most calls return at once. A slow one occupies its thread for a tick.
        let is_slow = turn.is_some();
        let polled = poll_fn(|context| {
            let waker = context.waker();
            let mut poll = || call.as_mut().poll(&mut Context::from_waker(waker));
            Poll::Ready(if is_slow { meter.run_slow(poll) } else { poll() })
        });
        if let Poll::Ready(answer) = polled.await {
            return answer.map_err(CallFailure::Wasm);
        }
        if meter.take_interrupted() {
            // It is ready to run on, and may have to wait for the worker.
            let ready = Instant::now();
            until_woken().await;
            meter.starved_since(ready);
            continue;
        }
        // It waits for something, so that others may run.
        turn = None;
        let overdue = deadline + meter.waited() + GRACE;
        let woken = tokio::time::timeout_at(overdue.into(), until_woken()).await;
        woken.map_err(|_elapsed| CallFailure::Overdue)?;
    }
}

/// Waits until the task is woken.
async fn until_woken() {
    let mut was_polled = false;
    poll_fn(
        |_| if std::mem::replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// Classifies a failure, and rolls the call back.
pub(crate) fn fault(guest: &mut HostState, call_site: CallSite, failure: CallFailure) -> Fault {
    let (kind, backtrace) = match failure {
        CallFailure::Overdue => (FaultKind::Deadline(guest.context.limits.deadline), None),
        CallFailure::Busy { .. } => (FaultKind::Busy(MAX_WAIT), None),
        CallFailure::Wasm(error) => {
            let backtrace = error.downcast_ref::<WasmBacktrace>().and_then(backtrace::shown);
            (kind(guest, &error), backtrace)
        }
    };
    fault_of_kind(guest, call_site, kind, backtrace)
}

fn kind(guest: &mut HostState, error: &wasmtime::Error) -> FaultKind {
    if let Some(HostTrap(kind)) = error.downcast_ref::<HostTrap>() {
        return kind.clone();
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return FaultKind::Exit(*code);
    }
    if let Some(kind) = guest.memory.take_refusal() {
        return kind;
    }
    let text = error.root_cause().to_string();
    if text.contains(OUT_OF_MEMORY) {
        return FaultKind::host_memory(error);
    }
    if text.contains(TOO_LARGE) {
        return FaultKind::Output(guest.context.limits.output);
    }
    FaultKind::Trap(text)
}

/// Ends a failed call of a known kind.
pub(crate) fn fault_of_kind(
    guest: &mut HostState,
    call_site: CallSite,
    kind: FaultKind,
    backtrace: Option<String>,
) -> Fault {
    guest.journal.roll_back();
    let stderr = guest.stderr_tail();
    guest.log_suppressed();
    let plugin = guest.context.label.clone();
    Fault { plugin, call_site: Box::new(call_site), kind, backtrace, stderr }
}

/// Called by the engine at each tick of a call.
#[expect(clippy::needless_pass_by_value, reason = "the engine passes it so")]
fn overdue(store: StoreContextMut<'_, HostState>) -> wasmtime::Result<UpdateDeadline> {
    let guest = store.data();
    guest.meter.tick();
    if Instant::now() >= guest.call.deadline + guest.meter.waited() {
        let deadline = guest.context.limits.deadline;
        return Err(HostTrap(FaultKind::Deadline(deadline)).into());
    }
    // tokio's own way to yield lets it look after its timers and sockets as well.
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cpu::Turns;

    /// A guest that computes for so many ticks.
    async fn compute(meter: &Meter, ticks: usize, polls: &AtomicUsize) -> wasmtime::Result<()> {
        for _ in 0..ticks {
            polls.fetch_add(1, Ordering::Relaxed);
            meter.tick();
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    #[tokio::test]
    async fn runs_slow_calls_one_after_another() {
        let turns = Turns::new(2);
        let (first, second) = (Meter::serving(&turns), Meter::serving(&turns));
        let (polls, others) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let deadline = Instant::now() + Duration::from_mins(1);
        let run = within(&first, deadline, compute(&first, 20, &polls));
        let other = async {
            within(&second, deadline, compute(&second, 20, &others)).await.unwrap();
            assert_eq!(polls.load(Ordering::Relaxed), 20, "the second call overtook the first");
        };
        let (run, ()) = tokio::join!(run, other);
        run.unwrap();
    }

    #[tokio::test]
    async fn a_waiting_slow_call_lets_others_run() {
        let turns = Turns::new(2);
        let (first, second) = (Meter::serving(&turns), Meter::serving(&turns));
        let (polls, others) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let deadline = Instant::now() + Duration::from_mins(1);
        let done = tokio::sync::Notify::new();
        let waiting = async {
            compute(&first, 5, &polls).await?;
            done.notified().await;
            Ok(())
        };
        let other = async {
            within(&second, deadline, compute(&second, 20, &others)).await.unwrap();
            done.notify_one();
        };
        let (run, ()) = tokio::join!(within(&first, deadline, waiting), other);
        run.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn does_not_count_a_wait_for_a_core_as_time_of_the_call() {
        let meter = Meter::serving(&Turns::new(2));
        // Slow from the start.
        (0..5).for_each(|_| meter.tick());
        let call = async {
            // No core until after the deadline.
            std::thread::sleep(Duration::from_millis(1_500));
            tokio::task::yield_now().await;
            Ok(())
        };
        let deadline = Instant::now() + Duration::from_secs(1);
        let ended = tokio::spawn(async move { within(&meter, deadline, call).await });
        ended.await.unwrap().unwrap();
    }
}

//! One running copy of a plugin: made fresh, configured, called, and thrown away when anything
//! goes wrong. What counts as going wrong, and by which name, is decided here.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use wasmtime::{Store, StoreContextMut, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::audience::Realm;
use crate::backtrace;
use crate::contract::{PluginPre, handler};
use crate::cpu::{MAX_WAIT, Meter, TooBusy};
use crate::fault::{CallSite, Fault, FaultKind};
use crate::host_state::{HostState, HostTrap, MAX_RESOURCES, PluginContext};
use crate::plugin::RouteConfig;
use crate::ticker::{TICK, Ticker};

/// One instance: its memory, and its functions.
pub(crate) struct Instance {
    pub(crate) store: Store<HostState>,
    pub(crate) exports: handler::Guest,
}

/// A call that failed by the engine's account.
#[derive(Debug)]
pub(crate) enum Failure {
    Wasm(wasmtime::Error),
    /// Stopped from outside, because the plugin waited for something.
    Overdue,
    /// Waited too long for its turn, before it was begun or in its midst.
    Busy {
        was_begun: bool,
    },
}

/// How long after its deadline a call is stopped from outside. A plugin that computes is stopped
/// from inside at the first tick after the deadline, which gives a backtrace.
const GRACE: Duration = TICK.saturating_mul(2);
/// Bytes that may cross from the guest at once, over the limit of its output: values on their way
/// to the store. What is larger than both is stopped before it is copied.
const BESIDE_OUTPUT: usize = 4 << 20;
/// By what the engine says then; it has no type for it.
const TOO_LARGE: &str = "fuel allocated for hostcalls has been exhausted";
/// By what the operating system's refusal of memory is known.
const OUT_OF_MEMORY: &str = "os error 12";

impl Instance {
    /// Makes an instance, which runs the plugin's start functions.
    pub(crate) async fn new(
        pre: &PluginPre<HostState>,
        ticker: &Ticker,
        context: &Arc<PluginContext>,
        meter: &Arc<Meter>,
    ) -> Result<Self, Fault> {
        let limits = &context.limits;
        let mut store =
            Store::new(pre.engine(), HostState::new(Arc::clone(context), Arc::clone(meter)));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(limits.output.saturating_add(BESIDE_OUTPUT));
        store.set_max_component_handles(MAX_RESOURCES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(overdue);
        let deadline = store.data_mut().begin(Realm::default(), "", "", Instant::now());
        let running = ticker.run();
        let made = within(meter, deadline, pre.instantiate_async(&mut store)).await;
        drop(running);
        match made {
            Ok(plugin) => Ok(Self { store, exports: plugin.jackfield_plugin_handler().clone() }),
            Err(failure) => Err(fault(store.data_mut(), CallSite::Describe, failure)),
        }
    }

    /// Asks the plugin what it is.
    pub(crate) async fn describe(&mut self, ticker: &Ticker) -> Result<handler::Manifest, Fault> {
        let _running = ticker.run();
        let deadline = self.store.data_mut().begin(Realm::default(), "", "", Instant::now());
        self.store.set_epoch_deadline(1);
        let meter = Arc::clone(&self.store.data().meter);
        match within(&meter, deadline, self.exports.call_describe(&mut self.store)).await {
            Ok(manifest) => {
                self.store.data_mut().drain_console();
                Ok(manifest)
            }
            Err(failure) => Err(fault(self.store.data_mut(), CallSite::Describe, failure)),
        }
    }

    /// Configures one route; the inner error is the plugin's refusal. What the plugin wrote to the
    /// store stays if it accepts; there is no topic yet, so effects lead nowhere.
    pub(crate) async fn configure(
        &mut self,
        ticker: &Ticker,
        route: &RouteConfig,
    ) -> Result<Result<(), String>, Fault> {
        let _running = ticker.run();
        let deadline =
            self.store.data_mut().begin(Realm::default(), &route.handler, "", Instant::now());
        self.store.set_epoch_deadline(1);
        let raw = handler::Route {
            handler: &route.handler,
            name: &route.name,
            channel: &route.channel,
            args: &route.args,
        };
        let meter = Arc::clone(&self.store.data().meter);
        let call = self.exports.call_configure(&mut self.store, raw);
        let answer = within(&meter, deadline, call).await;
        let guest = self.store.data_mut();
        match answer {
            Ok(answer) => {
                guest.drain_console();
                if answer.is_ok() {
                    guest.journal.commit();
                } else {
                    guest.journal.roll_back();
                }
                Ok(answer)
            }
            Err(failure) => {
                let (handler, route) = (route.handler.clone(), route.name.clone());
                Err(fault(guest, CallSite::Configure { handler, route }, failure))
            }
        }
    }
}

/// Waits for a call until a little after its deadline, and lets it run while it is fast or has a
/// turn.
pub(crate) async fn within<T>(
    meter: &Meter,
    deadline: Instant,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    meter.begin();
    let mut call = pin!(call);
    let mut turn = None;
    let mut was_begun = false;
    loop {
        if turn.is_none() && meter.is_slow() {
            turn = meter.turn().await.map_err(|TooBusy| Failure::Busy { was_begun })?;
        }
        was_begun = true;
        // Most calls return at once.
        let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        if let Poll::Ready(answer) = polled {
            return answer.map_err(Failure::Wasm);
        }
        if !meter.take_interrupted() {
            // It waits for something, and others may run meanwhile.
            turn = None;
        }
        let overdue = deadline + meter.waited() + GRACE;
        let woken = tokio::time::timeout_at(overdue.into(), until_woken()).await;
        woken.map_err(|_elapsed| Failure::Overdue)?;
    }
}

/// Waits until the task is woken by what it was polled for before.
async fn until_woken() {
    let mut was_polled = false;
    poll_fn(
        |_| if std::mem::replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// Says what a failure was, and takes back what the call did.
pub(crate) fn fault(guest: &mut HostState, call_site: CallSite, failure: Failure) -> Fault {
    let (kind, backtrace) = match failure {
        Failure::Overdue => (FaultKind::Deadline(guest.context.limits.deadline), None),
        Failure::Busy { .. } => (FaultKind::Busy(MAX_WAIT), None),
        Failure::Wasm(error) => {
            let backtrace = error.downcast_ref::<WasmBacktrace>().and_then(backtrace::shown);
            (kind(guest, &error), backtrace)
        }
    };
    faulty(guest, call_site, kind, backtrace)
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

/// Ends a call that failed, by its kind.
pub(crate) fn faulty(
    guest: &mut HostState,
    call_site: CallSite,
    kind: FaultKind,
    backtrace: Option<String>,
) -> Fault {
    guest.journal.roll_back();
    let stderr = guest.last_words();
    guest.log_suppressed();
    let plugin = guest.context.plugin.clone();
    Fault { plugin, call_site: Box::new(call_site), kind, backtrace, stderr }
}

/// Called by the engine at the first tick after a call began, and at each one after that.
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
}

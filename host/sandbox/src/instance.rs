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
use crate::contract::{PluginPre, handler};
use crate::fault::{Fault, FaultKind, Occasion};
use crate::guest::{Breach, Guest, MAX_RESOURCES, Surroundings};
use crate::plugin::RouteConfig;
use crate::ticker::{TICK, Ticker};

/// One instance: its memory, and its functions.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    pub(crate) exports: handler::Guest,
}

/// A call that failed by the engine's account.
#[derive(Debug)]
pub(crate) enum Failure {
    Wasm(wasmtime::Error),
    /// Stopped from outside, because the plugin waited for something.
    Overdue,
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
/// Bytes of stderr that a fault quotes, from its end.
const QUOTED: usize = 1 << 10;

impl Instance {
    /// Makes an instance, which runs the plugin's start functions.
    pub(crate) async fn new(
        pre: &PluginPre<Guest>,
        ticker: &Ticker,
        surroundings: &Arc<Surroundings>,
    ) -> Result<Self, Fault> {
        let limits = &surroundings.limits;
        let mut store = Store::new(pre.engine(), Guest::new(Arc::clone(surroundings)));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(limits.output.saturating_add(BESIDE_OUTPUT));
        store.set_max_component_handles(MAX_RESOURCES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(overdue);
        let deadline = store.data_mut().begin(Realm::default(), "", "", Instant::now());
        let running = ticker.run();
        let made = within(deadline, pre.instantiate_async(&mut store)).await;
        drop(running);
        match made {
            Ok(plugin) => Ok(Self { store, exports: plugin.jackfield_plugin_handler().clone() }),
            Err(failure) => Err(fault(store.data_mut(), Occasion::Describe, failure)),
        }
    }

    /// Asks the plugin what it is.
    pub(crate) async fn describe(&mut self, ticker: &Ticker) -> Result<handler::Manifest, Fault> {
        let _running = ticker.run();
        let deadline = self.store.data_mut().begin(Realm::default(), "", "", Instant::now());
        self.store.set_epoch_deadline(1);
        match within(deadline, self.exports.call_describe(&mut self.store)).await {
            Ok(manifest) => {
                self.store.data_mut().drain_console();
                Ok(manifest)
            }
            Err(failure) => Err(fault(self.store.data_mut(), Occasion::Describe, failure)),
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
        let answer = within(deadline, self.exports.call_configure(&mut self.store, raw)).await;
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
                Err(fault(guest, Occasion::Configure { handler, route }, failure))
            }
        }
    }
}

/// Waits for a call until a little after its deadline.
pub(crate) async fn within<T>(
    deadline: Instant,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    let mut call = pin!(call);
    // Most calls return at once, and need no timer.
    if let Poll::Ready(answer) = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        return answer.map_err(Failure::Wasm);
    }
    match tokio::time::timeout_at((deadline + GRACE).into(), call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Wasm(error)),
        Err(_elapsed) => Err(Failure::Overdue),
    }
}

/// Says what a failure was, and takes back what the call did.
pub(crate) fn fault(guest: &mut Guest, occasion: Occasion, failure: Failure) -> Fault {
    let (kind, backtrace) = match failure {
        Failure::Overdue => (FaultKind::Deadline(guest.surroundings.limits.deadline), None),
        Failure::Wasm(error) => {
            let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
            (kind(guest, &error), backtrace)
        }
    };
    faulty(guest, occasion, kind, backtrace)
}

fn kind(guest: &mut Guest, error: &wasmtime::Error) -> FaultKind {
    if let Some(Breach(kind)) = error.downcast_ref::<Breach>() {
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
        return FaultKind::Output(guest.surroundings.limits.output);
    }
    FaultKind::Trap(text)
}

/// Ends a call that failed, by its kind.
pub(crate) fn faulty(
    guest: &mut Guest,
    occasion: Occasion,
    kind: FaultKind,
    backtrace: Option<String>,
) -> Fault {
    guest.journal.roll_back();
    let stderr = guest.drain_console().map(|text| {
        let start = text.floor_char_boundary(text.len().saturating_sub(QUOTED));
        text.get(start..).unwrap_or_default().to_owned()
    });
    guest.log_suppressed();
    let plugin = guest.surroundings.plugin.clone();
    Fault { plugin, occasion: Box::new(occasion), kind, backtrace, stderr }
}

/// Called by the engine at the first tick after a call began, and at each one after that.
#[expect(clippy::needless_pass_by_value, reason = "the engine passes it so")]
fn overdue(store: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    let guest = store.data();
    if Instant::now() >= guest.call.deadline {
        let deadline = guest.surroundings.limits.deadline;
        return Err(Breach(FaultKind::Deadline(deadline)).into());
    }
    // tokio's own way to yield lets it look after its timers and sockets as well.
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
}

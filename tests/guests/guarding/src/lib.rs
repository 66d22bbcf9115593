//! A plugin that decides about access by the last word of a URI, and misbehaves on request.
//!
//! `VERSION` occurs once in the component, so that a test makes another version by overwriting it.

use std::time::Duration;

use jackfield_plugin::{
    Event, Handler, Plugin, Refusal, Request,
    access::{Attempt, Authorize},
    export_access, store, topics,
};

/// Read through a volatile pointer: the compiler is not to spread it over the code.
static VERSION: [u8; 16] = *b"version-00000001";

/// The time of decisions that may be kept.
const LONG: Duration = Duration::from_hours(1);

fn plugin() -> Plugin {
    Plugin::new("guarding", "1.0.0").handler(
        Handler::new("guarding.rules").on_authorize(|(), request, attempt| {
            let word = request.topic().rsplit('.').find(|word| !word.is_empty()).unwrap_or_default();
            let seen = seen(request, attempt)?;
            Ok::<_, Refusal>(match word {
                "open" => Authorize::allow(),
                "disclosed" => Authorize::allow().disclose(),
                "open_for_session" => Authorize::allow().keep_for_session(LONG),
                "mine" => Authorize::deny(seen).keep_for_session(LONG),
                "ours" => Authorize::deny(seen).keep_for_principal(LONG),
                "brief" => Authorize::deny(seen).keep_for_session(Duration::ZERO),
                "own" => return Err(Refusal::new("acme.error.own", seen)),
                "invalid" => return Err(Refusal::new("no URI", seen)),
                "trap" => panic!("this is a trap"),
                "hang" => loop {
                    std::hint::black_box(());
                },
                "effect" => {
                    topics::publish("open/1", Event::new("an effect"));
                    Authorize::allow()
                }
                _ => Authorize::deny(seen),
            })
        }),
    )
}

/// All that the hook sees, with the number of calls so far.
fn seen(request: &Request, attempt: Attempt) -> Result<String, Refusal> {
    let calls = store::increment("calls", 1)?;
    let session = request.caller()?;
    let Attempt { action, policy, options } = attempt;
    let options = [
        (options.disclose_me, "disclose_me"),
        (options.acknowledge, "acknowledge"),
        (options.retain, "retain"),
        (options.get_retained, "get_retained"),
        (options.shared, "shared"),
        (options.force_reregister, "force_reregister"),
        (options.progress, "progress"),
    ];
    let set: Vec<&str> = options.into_iter().filter(|it| it.0).map(|it| it.1).collect();
    Ok(format!(
        "{calls} {} {action:?} {policy:?} {} of {} in {} as {} by {} with [{}]",
        read(&VERSION),
        request.topic(),
        session.authid(),
        request.realm(),
        session.roles().join(" "),
        session.authmethod(),
        set.join(" "),
    ))
}

fn read(text: &'static [u8; 16]) -> String {
    // SAFETY: a pointer made from a reference to a static is valid and aligned.
    let bytes = unsafe { std::ptr::read_volatile(&raw const *text) };
    String::from_utf8_lossy(&bytes).into_owned()
}

export_access!(plugin);

//! A plugin that decides about access by the last word of a URI, and misbehaves on request.
//!
//! `VERSION` occurs once in the component, so that a test makes another version by overwriting it.

use std::time::Duration;

use jackfield_plugin::{
    Event, Handler, Plugin, Refusal, Request,
    access::{Attempt, Authorize, Login, Method, Principal, SaltedKey, ScramKeys},
    export_access, json, store, topics,
};

/// Read through a volatile pointer: the compiler is not to spread it over the code.
static VERSION: [u8; 16] = *b"version-00000001";

/// The time of decisions that may be kept.
const LONG: Duration = Duration::from_hours(1);

fn plugin() -> Plugin {
    Plugin::new("guarding", "1.0.0").handler(rules()).handler(login())
}

fn rules() -> Handler {
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
    })
}

/// Knows each client whose name begins with `ann`. The ticket and the secret have the name; the rest of it is
/// what goes wrong.
fn login() -> Handler {
    let models = [
        member("model").wampcra("secret of nobody"),
        member("model").scram(scram()),
        member("model").cryptosign(KEY),
    ];
    Handler::new("guarding.login")
        .on_ticket(|(), request, login, ticket| {
            let Some(name) = known(login) else { return Ok(None) };
            if name == "ann_refused" {
                return Err(Refusal::not_authorized("This ticket is wrong."));
            }
            let found = (ticket == format!("ticket of {name}")).then(|| member(name));
            Ok::<_, Refusal>(
                found.map(|it| it.claims(json!({ "seen": seen_at_login(request, login) }))),
            )
        })
        .on_find(models, |(), request, login| {
            if login.method == Method::Cryptosign {
                let is_known = login.pubkey.as_deref() == Some(KEY);
                return Ok(is_known.then(|| member("sensor").name("sensor").cryptosign(KEY)));
            }
            let Some(name) = known(login) else { return Ok(None) };
            let found = match login.method {
                Method::WampCra if name == "ann_salted" => member(name).salted_wampcra(SaltedKey {
                    derived_key: "derived",
                    salt: "salt",
                    iterations: 100,
                    keylen: 32,
                }),
                Method::WampCra => member(name).wampcra(format!("secret of {name}")),
                _ => member(name).scram(scram()),
            };
            Ok::<_, Refusal>(Some(found.claims(json!({ "seen": seen_at_login(request, login) }))))
        })
}

/// A public key of Ed25519: that of a seed of bytes 7.
const KEY: &str = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";

fn scram() -> ScramKeys<'static> {
    ScramKeys {
        argon2_memory: None,
        iterations: 1000,
        salt: "MDEyMzQ1Njc4OWFiY2RlZg==",
        stored_key: "00HMQcP94oybUdxP5mF5zetKdCD426CEtjHt9rCICu0=",
        server_key: "4k4Ig/grIt53n2x2jmf8G3hv7fajxHhJo0C5Mtx1tyM=",
    }
}

fn known(login: &Login) -> Option<&str> {
    let name = login.authid.as_deref().filter(|name| name.starts_with("ann"))?;
    match name {
        "ann_trap" => panic!("this is a trap"),
        "ann_hang" => loop {
            std::hint::black_box(());
        },
        "ann_effect" => topics::publish("open/1", Event::new("an effect")),
        _ => {}
    }
    Some(name)
}

/// A principal with the version as its second role.
fn member(name: &str) -> Principal {
    let principal = Principal::new().role("member").role(read(&VERSION));
    match name {
        "ann_brief" => principal.ttl(Duration::from_millis(1_500)),
        "ann_other" => principal.name("bob"),
        "ann_invalid" => principal.cryptosign("no key"),
        "ann_many" => (0..64).fold(principal, |it, _| it.role("member")),
        "ann_id" => principal.id("7"),
        _ => principal,
    }
}

fn seen_at_login(request: &Request, login: &Login) -> String {
    let Login { method, address, origin, encrypted, listener, .. } = login;
    let topic = request.topic();
    let realm = request.realm();
    format!("{method:?} {topic} {realm} {address:?} {origin:?} {encrypted} {listener:?}")
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

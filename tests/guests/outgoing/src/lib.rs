//! A plugin whose effects have answers. Events and calls say what it does; it publishes what comes
//! of it to the topic, after its version.
//!
//! The version, and the header of its requests that names it, are texts that occur once in the
//! component, so that a test makes another version by overwriting one, without a compiler.

use std::hint::black_box;
use std::time::Duration;

use jackfield_plugin::later::Later;
use jackfield_plugin::{
    Event, Handler, Plugin, Publish, Refusal, Request, Value, calls, export, http, json, sessions,
    store, topics,
};

static VERSION: &str = "@@VERSION-000001";
static AGENT: &str = "@@AGENT---000001";

fn plugin() -> Plugin {
    Plugin::new("outgoing", black_box(VERSION)).handler(
        Handler::new("outgoing")
            .on_publish(|_state, request, event| {
                let order: Value = event.single()?;
                let times = order["times"].as_u64().unwrap_or(1);
                if order["store"].is_string() {
                    store::set("order", &order["store"].to_string())?;
                }
                for _ in 0..times {
                    let context = json!({ "tag": order["tag"], "again": order["again"] });
                    if let Err(refusal) = perform(&order, &context) {
                        report(
                            request,
                            json!(["refused", order["tag"], refusal.uri(), refusal.message()]),
                        );
                    }
                }
                assert!(!order["trap"].is_boolean(), "after the effects");
                Ok::<_, Refusal>(Publish::drop())
            })
            .on_call(|_state, request, event| {
                let order: Value = event.single()?;
                match order["do"].as_str().unwrap_or_default() {
                    "echo" => Ok(event.clone()),
                    "who" => {
                        let session = request.caller()?;
                        let who = (session.authid(), session.authrole(), session.authmethod());
                        Ok(Event::of(&who)?)
                    }
                    "fail" => Err(Refusal::new("acme.error.unwilling", "not today")),
                    "twice" => {
                        let _first = Later::begin()?;
                        Later::begin().map(Later::event)
                    }
                    "trap" => {
                        Later::begin()?;
                        panic!("after the promise")
                    }
                    // The event of another order completes it, or none does.
                    "wait" => {
                        let later = Later::begin()?;
                        report(request, json!(["waiting", later]));
                        Ok(later.event())
                    }
                    // Its request leads to the same call, over and over.
                    "loop" => {
                        let later = Later::begin()?;
                        let again = json!({ "procedure": request.topic(), "args": [order] });
                        perform(&order, &json!({ "later": later, "once": again }))?;
                        Ok(later.event())
                    }
                    _ => {
                        let later = Later::begin()?;
                        perform(&order, &json!({ "later": later }))?;
                        Ok(later.event())
                    }
                }
            })
            .on_response(|_state, request, answer| {
                let context: Value = answer.context()?;
                let result = match answer.response() {
                    Ok(response) => Ok(json!([response.status(), response.text()])),
                    Err(error) => Err(Refusal::from(error)),
                };
                finish(request, &context, result)
            })
            .on_result(|_state, request, answer| {
                let context: Value = answer.context()?;
                let result = match answer.result() {
                    Ok(event) => Ok(event.args::<Value>()?),
                    Err(refusal) => Err(refusal),
                };
                finish(request, &context, result)
            }),
    )
}

/// Sends a request, makes a call, completes a call, or sends to a session.
fn perform(order: &Value, context: &Value) -> Result<(), Refusal> {
    let text = |key: &str| order[key].as_str().unwrap_or_default();
    let time = order["timeout"].as_u64().map(Duration::from_millis);
    if let Some(url) = order["url"].as_str() {
        let method = order["method"].as_str().unwrap_or("POST");
        let mut request = http::Request::new(method, url).json(&order["body"])?;
        for (name, value) in order["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        request = request.header("x-agent", black_box(AGENT));
        if let Some(time) = time {
            request = request.timeout(time);
        }
        request.send(context)?;
    } else if order["procedure"].is_string() {
        let event = Event::from_args(&order["args"])?;
        match time {
            Some(time) => calls::call_within(time, text("procedure"), event, context)?,
            None => calls::call(text("procedure"), event, context)?,
        }
    } else if order["complete"].is_u64() {
        let later: Later = serde(&order["complete"])?;
        let is_awaited = later.complete(Ok(Event::new("completed")));
        topics::publish(
            text("tell"),
            Event::new(json!([black_box(VERSION), "complete", is_awaited])),
        );
    }
    Ok(())
}

fn serde(value: &Value) -> Result<Later, Refusal> {
    Event::new(value.clone()).single().map_err(Into::into)
}

/// Completes the call of the context, or publishes the result.
fn finish(
    request: &Request,
    context: &Value,
    result: Result<Value, Refusal>,
) -> Result<(), Refusal> {
    if context["tag"] == "store" {
        store::set("answered", &true.to_string())?;
    }
    // The result leads to the next effect: to one that does so again, or to the last.
    let next = [(&context["again"], context), (&context["once"], &Value::Null)];
    for (order, context) in next.into_iter().filter(|(order, _)| order.is_object()) {
        if let Err(refusal) = perform(order, context) {
            report(request, json!(["refused", context["tag"], refusal.uri(), refusal.message()]));
        }
    }
    if context["later"].is_u64() {
        serde(&context["later"])?.complete(result.map(Event::new));
        return Ok(());
    }
    report(
        request,
        match result {
            Ok(value) => json!(["answer", context["tag"], value]),
            Err(refusal) => json!(["failed", context["tag"], refusal.uri(), refusal.message()]),
        },
    );
    Ok(())
}

fn report(request: &Request, what: Value) {
    let mut all = vec![json!(black_box(VERSION))];
    all.extend(what.as_array().into_iter().flatten().cloned());
    topics::publish(request.topic(), Event::new(Value::Array(all)));
    // A session that may be gone is no fault.
    if let Some(session) = request.session() {
        sessions::send(session.id(), "nowhere", Event::empty());
    }
}

export!(plugin);

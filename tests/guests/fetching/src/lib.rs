//! A plugin that asks a backend about each subscription, and waits for the answer.
//!
//! `handler.args` has the URL of the backend, and how often it is asked about one subscription.

use jackfield_plugin::{
    Error, Event, Handler, Plugin, Publish, Refusal, Request, Subscribe, Value, export, http,
};

fn plugin() -> Plugin {
    Plugin::new("fetching", "1.0.0").handler(
        Handler::new("fetching")
            .configure(|route| route.args::<Value>())
            .on_subscribe(|settings, request| {
                for _ in 0..settings["times"].as_u64().unwrap_or(1) {
                    let answer = of_backend(settings, request)?.fetch().map_err(failed)?;
                    if !answer.is_success() {
                        let reason = format!("{}: {}", answer.status(), answer.text());
                        return Ok(Subscribe::deny(reason));
                    }
                }
                Ok::<_, Refusal>(Subscribe::Allow)
            })
            .on_publish(|settings, request, event| {
                let asked = of_backend(settings, request)?;
                match event.single::<String>()?.as_str() {
                    "wait" => {
                        let answer = asked.fetch().map_err(failed)?;
                        Ok(Publish::deliver(Event::new(answer.text())))
                    }
                    "effect" => {
                        asked.send(&()).map_err(failed)?;
                        Ok(Publish::drop())
                    }
                    _ => Ok::<_, Refusal>(Publish::Broadcast),
                }
            }),
    )
}

/// A request about the name in the topic.
fn of_backend(settings: &Value, request: &Request) -> Result<http::Request, Error> {
    let (name, url) = (request.attribute::<String>("name")?, settings["url"].as_str());
    Ok(http::Request::get(format!("{}/{name}", url.unwrap_or_default())))
}

fn failed(error: http::Error) -> Refusal {
    Refusal::new("acme.error.backend", error.to_string())
}

export!(plugin);

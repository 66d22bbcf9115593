//! A plugin whose answers depend on the event, the store, the time, random numbers and memory, each in
//! a handler of its own.
//!
//! Two texts of sixteen bytes occur once in the component, so that a test makes another version by
//! overwriting one, without a compiler: the word that `judging.words` refuses, and the topic of its
//! log.

use std::time::UNIX_EPOCH;

use jackfield_plugin::{Event, Handler, Plugin, Publish, Refusal, export, now, store, topics};

mod dice {
    wit_bindgen::generate!({
        inline: "
            package test:dice;
            world dice { import wasi:random/random@0.2.0; }
            package wasi:random@0.2.0 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                    get-random-u64: func() -> u64;
                }
            }
        ",
        world: "test:dice/dice",
        generate_all,
    });
}

/// Read through volatile pointers: the compiler is not to spread them over the code.
static REFUSED: [u8; 16] = *b"@@REFUSED-000001";
static LOG: [u8; 16] = *b"judging/log/0001";

fn plugin() -> Plugin {
    Plugin::new("judging", "1.0.0")
        .handler(Handler::new("judging.words").on_publish(|(), request, event| {
            let text: String = event.single()?;
            if text.contains(&read(&REFUSED)) {
                return Err(Refusal::new("judging.error.refused", format!("{text:?} is refused")));
            }
            let count = store::increment(&format!("said/{}", request.topic()), 1)?;
            let entry = (&text, count, topics::count(request.topic()));
            topics::publish(&read(&LOG), Event::from_args(&entry)?);
            Ok(Publish::broadcast())
        }))
        .handler(Handler::new("judging.dice").on_publish(|(), _request, _event| {
            let time = now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            let number = dice::wasi::random::random::get_random_u64();
            Ok(Publish::deliver(Event::from_args(&(time.to_string(), number.to_string()))?))
        }))
        .handler(
            Handler::new("judging.memory")
                .configure(|_route| Ok::<u32, jackfield_plugin::Error>(0))
                .on_publish(|count, _request, _event| {
                    *count += 1;
                    Ok(Publish::deliver(Event::new(*count)))
                }),
        )
}

fn read(text: &'static [u8; 16]) -> String {
    // SAFETY: a pointer made from a reference to a static is valid and aligned.
    let bytes = unsafe { std::ptr::read_volatile(&raw const *text) };
    String::from_utf8_lossy(&bytes).into_owned()
}

export!(plugin);

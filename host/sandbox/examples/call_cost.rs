//! Measures what a call costs: `cargo run --release -p jackfield-sandbox --example call_cost --
//! target/guests/wasm32-wasip2/release/guest_hostile.wasm refuse_configure`, or any other
//! component and handler that answers a publish with a few bytes.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jackfield_sandbox::{Audience, Caller, PluginPolicy, Realm, Request, Sandbox, SandboxSettings};

struct Nobody;

impl Audience for Nobody {
    fn subscribers(&self, _: Realm, _: &str) -> Vec<u64> {
        Vec::new()
    }

    fn count(&self, _: Realm, _: &str) -> u32 {
        0
    }
}

/// Calls of one round; the best of several rounds is reported, as the machine has other work.
const CALLS: u32 = 100_000;
const ROUNDS: usize = 7;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(handler)) = (arguments.next(), arguments.next()) else {
        return Err("give a component and one of its handlers".into());
    };
    let bytes = std::fs::read(&file)?;
    let sandbox = Sandbox::new(SandboxSettings::default())?;
    let began = Instant::now();
    let plugin = sandbox.load(&file, &bytes, PluginPolicy::default(), Arc::new(Nobody)).await?;
    println!("compile and describe: {:?}", began.elapsed());
    let began = Instant::now();
    let lanes = plugin.start(1, &[]).await?;
    println!("instantiate: {:?}", began.elapsed());

    let roles = ["member".to_owned()];
    let request = Request {
        realm: Realm(1),
        handler: &handler,
        route: "acme.chat",
        topic: "acme/chat/lobby",
        attributes: &[("room", "lobby")],
        session: Some(Caller {
            id: 1,
            authid: "ann",
            authrole: "member",
            roles: &roles,
            authmethod: "ticket",
            claims: "{\"id\":7}",
        }),
        subscribers: 10,
    };
    let args = format!("[\"{}\"]", "x".repeat(250));
    let task = async {
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for _ in 0..CALLS {
                let outcome = lanes.of(request.topic).on_publish(&request, &args, "{}").await?;
                black_box(outcome);
            }
            println!("publish: {:?}", began.elapsed() / CALLS);
        }
        Ok::<(), jackfield_sandbox::Fault>(())
    };
    task.await?;
    Ok(())
}

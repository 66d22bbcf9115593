//! Ten thousand sessions of clients that come, do random things and leave in every way: nothing of them stays in
//! the server. The broker's own test, `churn`, finds the smallest case of a fault.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};

use crate::control::status;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const SESSIONS: u64 = 10_000;
/// Sessions at the same time.
const AT_ONCE: usize = 40;

const SETTINGS: &str = "\
rules:
    - { uri: churn., match: prefix, allow: { publish: everyone, subscribe: everyone, call: everyone, register: everyone } }
    - { uri: wamp., match: prefix, allow: { subscribe: everyone, call: everyone } }
limits: { connection_rate: { enabled: false }, address_connection_rate: { enabled: false } }
";

/// Numbers that look random, the same ones for a seed: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// One session, which depends on its number alone.
async fn session(addr: SocketAddr, number: u64) {
    let mut random = Random(number);
    if random.below(8) == 0 {
        return page(addr, &mut random).await;
    }
    let codec = Codec::ALL[usize::try_from(random.below(3)).unwrap()];
    let mut options = Options::new(codec);
    let features = json!({ "features": {
        "call_canceling": random.below(2) == 0, "progressive_call_invocations": true,
        "call_reroute": true, "registration_revocation": true, "subscription_revocation": true,
    } });
    options.details["roles"] = json!({
        "publisher": {}, "subscriber": features, "caller": features, "callee": features,
    });
    let mut client = Client::connect_with(addr, codec, "realm1", options).await.unwrap();
    for _ in 0..random.below(10) {
        request(&mut client, &mut random);
        // Some sessions answer; the others leave their callers to the dealer.
        while let Some(Ok(message)) = client.message_or_end().now_or_never() {
            if message[0] == 68 && random.below(3) > 0 {
                client.send(&json!([70, message[1], {}, ["done"]]));
            }
        }
        tokio::task::yield_now().await;
    }
    match random.below(4) {
        0 => {
            client.send(&json!([6, {}, "wamp.close.normal"]));
            client.ended().await;
        }
        1 => client.socket().close(1000, ""),
        2 => {
            client.send(&json!([33, 1, 1]));
            client.ended().await;
        }
        _ => {}
    }
}

/// Sends a random request, and waits for no answer.
fn request(client: &mut Client, random: &mut Random) {
    let name = format!("churn.{}", random.below(6));
    let number = client.next_request();
    let policy = ["exact", "prefix", "wildcard"][usize::try_from(random.below(3)).unwrap()];
    client.send(&match random.below(8) {
        0 | 1 => json!([32, number, { "match": policy }, name]),
        2 => json!([34, number, 1 + random.below(50)]),
        3 => json!([16, number, { "acknowledge": true }, name, [number]]),
        4 => json!([64, number, { "match": policy, "invoke": "roundrobin", "concurrency": 3 }, name]),
        5 => json!([64, number, { "force_reregister": true }, name]),
        6 => json!([48, number, { "timeout": 1 + random.below(20_000), "receive_progress": true }, name, [1]]),
        _ => {
            let options = json!({ "progress": true, "runmode": "partition", "rkey": "a" });
            client.send(&json!([48, number, options, name, [1]]));
            json!([49, number, { "mode": "killnowait" }])
        }
    });
}

async fn page(addr: SocketAddr, random: &mut Random) {
    let mut page = v1::Client::connect(addr).await;
    for _ in 0..random.below(5) {
        let topic = format!("churn.{}", random.below(6));
        page.subscribe(&topic);
        page.publish(&topic, &json!([1]), &Reach::Plain);
    }
    if random.below(2) == 0 {
        page.round_trip().await;
        page.close();
    }
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sessions_leave_nothing_behind() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    let mut observer = Client::connect(server.addr, Codec::Json, "realm1").await;
    status(&server).await;
    let files = open_files(&server);
    let sessions = stream::iter(0..SESSIONS).map(|number| {
        // A task of its own, so that a panic names the session.
        let task = tokio::spawn(session(server.addr, number));
        async move { task.await.unwrap_or_else(|error| panic!("session {number}: {error}")) }
    });
    sessions.buffer_unordered(AT_ONCE).for_each(|()| std::future::ready(())).await;

    within("the end of all sessions", async {
        while status(&server).await["connections"]["open"] != 1 || open_files(&server) > files + 4 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let now = status(&server).await;
    assert_eq!(now["sessions"]["open"], 1, "{now}");
    let realm = &now["realms"][0];
    assert_eq!((&realm["subscriptions"], &realm["topics"]), (&json!(0), &json!(0)), "{realm}");
    for queue in ["outboxes", "waiting", "incomplete"] {
        assert_eq!(now["memory"][queue]["bytes"], 0, "{queue}: {now}");
    }
    for procedure in ["wamp.registration.list", "wamp.subscription.list"] {
        let (args, kwargs) =
            observer.call(procedure, json!({}), json!([]), Value::Null).await.unwrap();
        let nothing = json!([{ "exact": [], "prefix": [], "wildcard": [] }]);
        assert_eq!((args, kwargs), (nothing, Value::Null), "{procedure}");
    }
    // The procedures are free again, and answer.
    observer.register("churn.1", json!({})).await.unwrap();
    observer.send(&json!([48, 900, {}, "churn.1", [7]]));
    let invocation = observer.invocation().await;
    observer.send(&json!([70, invocation[1], {}, invocation[4]]));
    assert_eq!(observer.message().await, json!([50, 900, {}, [7]]));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

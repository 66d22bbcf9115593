//! Two nodes on a bus of the test.

use jackfield_broker::peers::{Delivery, Peers};
use tokio::sync::Notify;

use super::*;

const LONG: Duration = Duration::from_mins(10);

/// Two nodes whose messages pass when they are told to.
struct Pair {
    nodes: [(Arc<Cluster>, Arc<Exchange>); 2],
}

/// Echoes questions, once it may, and keeps messages.
#[derive(Default)]
struct Echo {
    may: Arc<Notify>,
    heard: Mutex<Vec<Bytes>>,
}

impl Service for Echo {
    fn answer(&self, _from: NodeId, question: Bytes) -> Answering {
        let may = Arc::clone(&self.may);
        Box::pin(async move {
            if question == "wait" {
                may.notified().await;
            }
            Some(question).filter(|it| it != "of a later version")
        })
    }

    fn hear(&self, _from: NodeId, message: Bytes) -> bool {
        self.heard.lock().unwrap().push(message);
        true
    }

    fn interrupted(&self, _node: NodeId) {}
}

fn pair() -> Pair {
    let node = |id, name| {
        let cluster = Arc::new(Cluster::new(Peers::new(NodeId(id), name, "1"), || {}));
        (Arc::clone(&cluster), Arc::new(Exchange::new(cluster)))
    };
    let pair = Pair { nodes: [node(1, "one"), node(2, "two")] };
    pair.pass(&[]);
    pair
}

impl Pair {
    /// Passes all messages; those of the nodes in `lossy` are lost.
    fn pass(&self, lossy: &[usize]) {
        for (from, to) in [(0, 1), (1, 0)] {
            let hello = self.nodes[from].0.read(Peers::hello).into();
            self.nodes[to].0.write(|peers| peers.hear_hello(&hello, Duration::ZERO));
        }
        loop {
            let mut is_quiet = true;
            for (from, to) in [(0, 1), (1, 0)] {
                for (_, bytes) in self.nodes[from].0.take_messages() {
                    is_quiet = false;
                    if lossy.contains(&from) {
                        continue;
                    }
                    let (cluster, exchange) = &self.nodes[to];
                    let received = cluster.receive(&bytes.into(), Duration::ZERO);
                    for notice in &received.notices {
                        if let Some(node) = notice.broken() {
                            exchange.missed(node);
                        }
                    }
                    for delivery in received.deliveries {
                        let Delivery::Message(node, message) = delivery else { panic!("an event") };
                        exchange.take(node, message);
                    }
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    /// Asks the second node.
    fn ask(&self, question: &'static str) -> tokio::task::JoinHandle<Result<Bytes, Unanswered>> {
        let exchange = Arc::clone(&self.nodes[0].1);
        tokio::spawn(async move {
            exchange.ask(NodeId(2), Subject::Sessions, question.as_bytes(), LONG).await
        })
    }

    async fn run(&self, lossy: &[usize]) {
        for _ in 0..4 {
            tokio::task::yield_now().await;
            self.pass(lossy);
        }
    }

    fn open(&self) -> usize {
        self.nodes[0].1.lock().questions.len()
    }
}

#[tokio::test]
async fn questions_are_answered_and_messages_heard() {
    let pair = pair();
    let echo = Arc::new(Echo::default());
    let asked = pair.ask("before it serves");
    pair.run(&[]).await;
    assert_eq!(asked.await.unwrap(), Err(Unanswered::Refused));
    pair.nodes[1].1.serve(Subject::Sessions, Arc::clone(&echo) as _);
    let (waits, other) = (pair.ask("wait"), pair.ask("hello"));
    pair.run(&[]).await;
    assert_eq!(other.await.unwrap(), Ok("hello".into()), "it does not wait for the first one");
    echo.may.notify_one();
    pair.run(&[]).await;
    assert_eq!(waits.await.unwrap(), Ok("wait".into()));
    for message in ["1", "2"] {
        assert!(pair.nodes[0].1.tell(NodeId(2), Subject::Sessions, message.as_bytes()));
    }
    assert!(!pair.nodes[0].1.tell(NodeId(3), Subject::Sessions, b"nobody"));
    pair.run(&[]).await;
    assert_eq!(*echo.heard.lock().unwrap(), ["1", "2"]);
    assert_eq!(pair.open(), 0);
}

#[tokio::test]
async fn a_question_that_is_not_known_is_refused_at_once() {
    let pair = pair();
    pair.nodes[1].1.serve(Subject::Sessions, Arc::new(Echo::default()));
    let asked = pair.ask("of a later version");
    pair.run(&[]).await;
    assert_eq!(asked.await.unwrap(), Err(Unanswered::Refused));
    // One of a subject that this release does not have.
    let (cluster, exchange) = &pair.nodes[0];
    let (id, answer) = exchange.open(NodeId(2)).unwrap();
    cluster.send(NodeId(2), &encode(Kind::Question, 200, id, b"?"));
    pair.run(&[]).await;
    assert_eq!(answer.await.unwrap(), Err(Unanswered::Refused));
}

#[tokio::test]
async fn a_lost_question_ends_at_the_next_message() {
    let pair = pair();
    pair.nodes[1].1.serve(Subject::Sessions, Arc::new(Echo::default()));
    let lost = pair.ask("lost on the way there");
    pair.run(&[0]).await;
    assert_eq!(pair.open(), 1);
    // The other node notices it at the next heartbeat, and says so.
    pair.nodes[0].0.write(|peers| peers.tick(Duration::ZERO));
    pair.run(&[]).await;
    assert_eq!(lost.await.unwrap(), Err(Unanswered::Interrupted));

    let lost = pair.ask("lost on the way back");
    tokio::task::yield_now().await;
    pair.run(&[1]).await;
    pair.nodes[1].0.write(|peers| peers.tick(Duration::ZERO));
    pair.run(&[]).await;
    assert_eq!(lost.await.unwrap(), Err(Unanswered::Interrupted));
}

#[tokio::test]
async fn questions_end_with_their_peer_their_time_and_their_asker() {
    let pair = pair();
    pair.nodes[1].1.serve(Subject::Sessions, Arc::new(Echo::default()));
    let (waits, given_up) = (pair.ask("wait"), pair.ask("wait"));
    pair.run(&[]).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    assert_eq!(pair.open(), 1);
    pair.nodes[1].0.write(Peers::leave);
    pair.run(&[]).await;
    assert_eq!(waits.await.unwrap(), Err(Unanswered::Interrupted));
    let exchange = &pair.nodes[0].1;
    let asked = exchange.ask(NodeId(2), Subject::Sessions, b"", LONG).await;
    assert_eq!(asked, Err(Unanswered::Unknown));
    let (cluster, _) = &super::tests::pair().nodes[0];
    let exchange = Exchange::new(Arc::clone(cluster));
    let asked = exchange.ask(NodeId(2), Subject::Sessions, b"", Duration::ZERO).await;
    assert_eq!(asked, Err(Unanswered::Late));
    assert_eq!(exchange.lock().questions.len(), 0);
}

#[tokio::test]
async fn questions_beyond_the_bounds_are_refused() {
    let pair = pair();
    pair.nodes[1].1.serve(Subject::Sessions, Arc::new(Echo::default()));
    let mut asked: Vec<_> = (0..MAX_ANSWERING).map(|_| pair.ask("wait")).collect();
    while pair.nodes[1].1.answering.available_permits() > 0 {
        pair.run(&[]).await;
    }
    let further = pair.ask("one more");
    while !further.is_finished() {
        pair.run(&[]).await;
    }
    assert_eq!(further.await.unwrap(), Err(Unanswered::Refused));
    // They are not sent yet.
    asked.extend((MAX_ANSWERING..MAX_OPEN).map(|_| pair.ask("wait")));
    while pair.open() < MAX_OPEN {
        tokio::task::yield_now().await;
    }
    assert_eq!(pair.ask("too many").await.unwrap(), Err(Unanswered::TooMany));
    drop(asked);
}

#[tokio::test]
async fn an_unreadable_message_is_ignored_and_noted() {
    let pair = pair();
    let echo = Arc::new(Echo::default());
    pair.nodes[1].1.serve(Subject::Sessions, Arc::clone(&echo) as Arc<dyn Service>);
    let is_noted = || pair.nodes[1].1.has_unreadable.load(Ordering::Relaxed);
    let (cluster, exchange) = &pair.nodes[0];
    exchange.tell(NodeId(2), Subject::Sessions, b"readable");
    pair.run(&[]).await;
    assert!(!is_noted());
    for unreadable in [&b""[..], b"\xff", b"\x03\xff\0\0\0\0\0\0\0\0", b"\x03\0"] {
        cluster.send(NodeId(2), unreadable);
        pair.run(&[]).await;
        assert!(is_noted(), "{unreadable:?}");
        pair.nodes[1].1.has_unreadable.store(false, Ordering::Relaxed);
    }
    exchange.tell(NodeId(2), Subject::Sessions, b"readable");
    pair.run(&[]).await;
    assert_eq!(*echo.heard.lock().unwrap(), ["readable", "readable"]);
}

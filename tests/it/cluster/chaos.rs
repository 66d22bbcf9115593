//! Faults under load: everything of a cluster is killed and stopped in turn, while back ends publish and pages
//! listen. Each page has every event that was acknowledged, in order and once, or was told of a gap.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use jackfield_tests::build;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;

use super::member::Member;
use super::traffic::Traffic;
use super::{Nats, status, until_peers};

const GIVEN_UP: &str = "a node is silent and given up";

/// Three nodes, three servers of NATS, and their pages and back ends.
pub(super) struct Group {
    pub(super) nats: [Nats; 3],
    pub(super) members: [Member; 3],
    traffic: Traffic,
}

impl Group {
    pub(super) async fn start() -> Self {
        let nats = Nats::three();
        let members = [0, 1, 2].map(|index| {
            let mut urls = nats.each_ref().map(Nats::url);
            urls.rotate_left(index);
            Member::start(build::jackfield().to_owned(), &format!("web-{}", index + 1), &urls)
        });
        until_joined(&members).await;
        let traffic = Traffic::of(&members).await;
        Self { nats, members, traffic }
    }

    /// Waits until the nodes exchange events, and no page has missed anything without being told. Returns
    /// the numbers of the pages before and now.
    pub(super) async fn settled(&mut self, after: &str) -> [Value; 2] {
        until_joined(&self.members).await;
        self.traffic.settled(after).await
    }

    pub(super) async fn end(self) {
        self.traffic.end().await;
        until_joined(&self.members).await;
    }

    /// The lengths of the logs.
    fn marks(&self) -> [usize; 3] {
        self.members.each_ref().map(|it| it.server().log().len())
    }

    /// Waits until any node logs a text behind these lengths.
    async fn until_logged(&self, marks: [usize; 3], text: &str) {
        let logs = |(member, mark): (&Member, usize)| member.server().log()[mark..].contains(text);
        within(text, async {
            while !self.members.iter().zip(marks).any(logs) {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
}

async fn until_joined(members: &[Member; 3]) {
    for member in members {
        until_peers(member.server(), 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_know_what_they_have_missed_when_nodes_fail() {
    let mut group = Group::start().await;
    for index in 0..3 {
        group.members[index].end("KILL");
        group.members[index].restart();
        group.settled(&format!("node {index} killed")).await;
    }
    for index in 0..3 {
        let marks = group.marks();
        group.members[index].server().signal("STOP");
        for other in (0..3).filter(|it| *it != index) {
            group.members[other].server().logged_after(marks[other], GIVEN_UP);
        }
        group.members[index].server().signal("CONT");
        group.settled(&format!("node {index} stopped")).await;
    }
    // A shorter pause, after which the others know the node again.
    group.members[0].server().signal("STOP");
    until_silent(group.members[1].server()).await;
    group.members[0].server().signal("CONT");
    group.settled("node 0 paused").await;
    group.end().await;
}

/// Waits until a node has not heard another one for a while. On a busy machine, it may have given it up.
async fn until_silent(server: &Server) {
    let is_heard = |peer: &Value| peer["heard"] == true;
    within("silence", async {
        loop {
            let peers = status(server)["peers"].as_array().unwrap().clone();
            if peers.iter().filter(|it| is_heard(it)).count() < 2 {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_know_what_they_have_missed_when_nats_fails() {
    let mut group = Group::start().await;
    // The first time, the nodes connect to another server meanwhile.
    let mut ends = ["no message passes", GIVEN_UP, GIVEN_UP].into_iter().peekable();
    for index in 0..3 {
        let (marks, is_used) = (group.marks(), group.nats[index].is_used());
        group.nats[index].signal("STOP");
        if let Some(end) = ends.next_if(|_| is_used) {
            group.until_logged(marks, end).await;
        }
        group.nats[index].signal("CONT");
        group.settled(&format!("NATS {index} stopped, used: {is_used}")).await;
    }
    for index in 0..3 {
        let (marks, is_used) = (group.marks(), group.nats[index].is_used());
        group.nats[index].kill();
        if is_used {
            group.until_logged(marks, "the connection to NATS is lost").await;
        }
        group.settled(&format!("NATS {index} killed, used: {is_used}")).await;
        group.nats[index].restart();
        group.settled(&format!("NATS {index} started again")).await;
    }
    group.end().await;
}

/// A service manager restarts one node after the other. Pages go on at the node when it is back, or at another one
/// meanwhile: none misses anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_is_no_gap_for_any_page() {
    let mut group = Group::start().await;
    let mut certain = 0;
    for index in 0..3 {
        let mut doubts = group.members.each_ref().map(Member::doubts);
        doubts[index] = 0;
        assert_eq!(group.members[index].end("TERM"), Some(0));
        group.members[index].restart();
        let [before, now] = group.settled(&format!("node {index} restarted")).await;
        // On a busy machine, a late answer is a doubt, of which pages are told.
        if group.members.each_ref().map(Member::doubts) != doubts {
            continue;
        }
        certain += 1;
        let pages = |numbers: &Value| numbers["pages"].as_array().unwrap().clone();
        for (page, earlier) in pages(&now).iter().zip(pages(&before)) {
            assert_eq!(page["gaps"], earlier["gaps"], "{page} after a restart of node {index}");
        }
    }
    assert!(certain > 0, "a doubt after each restart");
    group.end().await;
}

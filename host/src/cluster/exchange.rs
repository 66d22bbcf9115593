//! Exchange: questions and messages between the hosts of nodes.
//!
//! A question is answered, or ends with [`Unanswered`]: at once if the peer is unknown, refuses it, dies,
//! leaves, or if records between the two nodes were lost, in either direction; and after its time limit.
//! A node that misses records of a peer tells it so. Messages have no answer, and the order of their sender.
//!
//! Each [`Subject`] has a [`Service`]. Questions run in a bounded number of tasks; further ones are refused, and so
//! are those that this release does not know: of another subject, or with a content that it cannot read. Their
//! asker knows it at once. Fields of a content that it does not know are ignored.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use jackfield_broker::Cluster;
use jackfield_broker::peers::NodeId;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::warn;

/// The service that a question or message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Sessions: their list, messages to them, and their ends.
    Sessions = 0,
    /// Calls of clients, and procedures that a client wants alone.
    Calls = 1,
    /// Tickets that are good for one connection.
    Tickets = 2,
    /// Homes: hooks of plugins that one node runs for all.
    Homes = 3,
    /// Histories of topics.
    Histories = 4,
}

impl Subject {
    const ALL: [Self; 5] =
        [Self::Sessions, Self::Calls, Self::Tickets, Self::Homes, Self::Histories];
}

/// A question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The node is not known here.
    #[error("the node is not connected")]
    Unknown,
    /// The node has died or left, or messages between the nodes were lost: it may have heard the question.
    #[error("the connection to the node was interrupted")]
    Interrupted,
    /// The node has not answered in time. It may have heard the question.
    #[error("the node has not answered in time")]
    Late,
    /// The node answers too many questions now, or does not know the question.
    #[error("the node has refused the question: too many are open, or its version differs")]
    Refused,
    /// Too many questions of this node are open.
    #[error("too many questions to other nodes are open")]
    TooMany,
}

/// An answer, sooner or later; `None` refuses a question that cannot be read, such as one of a later version.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

/// Answers the questions and takes the messages of a subject.
pub(crate) trait Service: Send + Sync {
    /// Begins to answer a question of a peer, in the order of its messages. The rest runs in a task.
    fn answer(&self, from: NodeId, question: Bytes) -> Answering;

    /// Takes a message of a peer, in order. It must not wait. Returns whether the message can be read.
    fn hear(&self, from: NodeId, message: Bytes) -> bool;

    /// Notes that messages to or from a peer may be lost, or that it is gone.
    fn interrupted(&self, node: NodeId);
}

/// The maximum number of open questions of this node, and of those that it answers.
const MAX_OPEN: usize = 16_384;
const MAX_ANSWERING: usize = 1_024;

/// The questions and services of a node.
pub(crate) struct Exchange {
    cluster: Arc<Cluster>,
    services: [OnceLock<Arc<dyn Service>>; Subject::ALL.len()],
    /// A std mutex: a leaf, held for a look-up.
    open: Mutex<Open>,
    /// Permits of the questions that are answered here.
    answering: Arc<Semaphore>,
    /// Whether a message of a peer could not be read.
    has_unreadable: AtomicBool,
}

#[derive(Default)]
struct Open {
    last: u64,
    questions: HashMap<u64, Question>,
}

struct Question {
    to: NodeId,
    answer: oneshot::Sender<Result<Bytes, Unanswered>>,
}

/// The kind of a message between hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Question = 0,
    Answer = 1,
    Refusal = 2,
    Message = 3,
    /// The sender has missed records of the receiver.
    Missed = 4,
}

impl Exchange {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            services: [const { OnceLock::new() }; Subject::ALL.len()],
            open: Mutex::default(),
            answering: Arc::new(Semaphore::new(MAX_ANSWERING)),
            has_unreadable: AtomicBool::new(false),
        }
    }

    /// Sets the service of a subject; the first one stays.
    pub(crate) fn serve(&self, subject: Subject, service: Arc<dyn Service>) {
        if let Some(place) = self.services.get(subject as usize) {
            let _first_stays = place.set(service);
        }
    }

    /// Asks the host of a peer.
    ///
    /// # Errors
    /// [`Unanswered`], as soon as it is known that no answer comes.
    pub(crate) async fn ask(
        &self,
        node: NodeId,
        subject: Subject,
        question: &[u8],
        limit: Duration,
    ) -> Result<Bytes, Unanswered> {
        let (id, answer) = self.open(node)?;
        // The question ends with its asker.
        let _closed = CloseOnDrop(self, id);
        if !self.cluster.send(node, &encode(Kind::Question, subject as u8, id, question)) {
            return Err(Unanswered::Unknown);
        }
        match timeout(limit, answer).await {
            Ok(answer) => answer.unwrap_or(Err(Unanswered::Interrupted)),
            Err(_elapsed) => Err(Unanswered::Late),
        }
    }

    /// Sends a message to the host of a peer. Returns whether the peer is known.
    pub(crate) fn tell(&self, node: NodeId, subject: Subject, message: &[u8]) -> bool {
        self.cluster.send(node, &encode(Kind::Message, subject as u8, 0, message))
    }

    /// Takes what the host of a peer has sent.
    pub(super) fn take(&self, from: NodeId, mut bytes: Bytes) {
        let Some((kind, subject, id)) = decode(&mut bytes) else {
            return self.warn_of_unreadable(from);
        };
        match kind {
            Kind::Question => self.answer(from, subject, id, bytes),
            Kind::Answer => self.end(from, id, Ok(bytes)),
            Kind::Refusal => self.end(from, id, Err(Unanswered::Refused)),
            Kind::Message => {
                if !self.service(subject).is_some_and(|it| it.hear(from, bytes)) {
                    self.warn_of_unreadable(from);
                }
            }
            Kind::Missed => self.interrupt(from),
        }
    }

    /// Logs that a message of a peer cannot be read, the first time: the versions of nodes differ.
    fn warn_of_unreadable(&self, from: NodeId) {
        if !self.has_unreadable.swap(true, Ordering::Relaxed) {
            warn!(name: "cluster.message_unreadable", peer = %from, "a message of another node cannot be read, and is ignored: do all nodes have the same version? Further ones are not logged");
        }
    }

    /// Tells a peer that records of it were lost here, and ends the questions to it.
    pub(crate) fn missed(&self, node: NodeId) {
        self.cluster.send(node, &encode(Kind::Missed, 0, 0, &[]));
        self.interrupt(node);
    }

    /// Ends the questions to a peer: they or their answers may be lost.
    pub(super) fn interrupt(&self, node: NodeId) {
        let ended: Vec<_> =
            self.lock().questions.extract_if(|_, question| question.to == node).collect();
        for (_, question) in ended {
            let _asker_is_gone = question.answer.send(Err(Unanswered::Interrupted));
        }
        for service in self.services.iter().filter_map(OnceLock::get) {
            service.interrupted(node);
        }
    }

    fn answer(&self, from: NodeId, subject: u8, id: u64, question: Bytes) {
        let permit = Arc::clone(&self.answering).try_acquire_owned();
        let (Some(service), Ok(permit)) = (self.service(subject), permit) else {
            self.cluster.send(from, &encode(Kind::Refusal, subject, id, &[]));
            return;
        };
        let (answering, cluster) = (service.answer(from, question), Arc::clone(&self.cluster));
        tokio::spawn(async move {
            let answer = answering.await.map(|it| encode(Kind::Answer, subject, id, &it));
            if !answer.is_some_and(|it| cluster.send(from, &it)) {
                // It is not known or too long, or the peer is gone.
                cluster.send(from, &encode(Kind::Refusal, subject, id, &[]));
            }
            drop(permit);
        });
    }

    fn service(&self, subject: u8) -> Option<&Arc<dyn Service>> {
        self.services.get(usize::from(subject))?.get()
    }

    fn open(
        &self,
        to: NodeId,
    ) -> Result<(u64, oneshot::Receiver<Result<Bytes, Unanswered>>), Unanswered> {
        let mut open = self.lock();
        if open.questions.len() >= MAX_OPEN {
            return Err(Unanswered::TooMany);
        }
        open.last += 1;
        let id = open.last;
        let (answer, answered) = oneshot::channel();
        open.questions.insert(id, Question { to, answer });
        Ok((id, answered))
    }

    fn end(&self, from: NodeId, id: u64, answer: Result<Bytes, Unanswered>) {
        let mut open = self.lock();
        if open.questions.get(&id).is_some_and(|question| question.to == from) {
            let question = open.questions.remove(&id);
            drop(open);
            let _asker_is_gone = question.map(|it| it.answer.send(answer));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a question when its asker has the answer, or does not wait any more.
struct CloseOnDrop<'a>(&'a Exchange, u64);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().questions.remove(&self.1);
    }
}

/// Writes `kind u8 · subject u8 · id u64 · content`.
fn encode(kind: Kind, subject: u8, id: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 10);
    out.put_u8(kind as u8);
    out.put_u8(subject);
    out.put_u64_le(id);
    out.extend_from_slice(content);
    out
}

/// Reads the head. The content remains.
fn decode(bytes: &mut Bytes) -> Option<(Kind, u8, u64)> {
    let kind = match bytes.try_get_u8().ok()? {
        0 => Kind::Question,
        1 => Kind::Answer,
        2 => Kind::Refusal,
        3 => Kind::Message,
        4 => Kind::Missed,
        _ => return None,
    };
    Some((kind, bytes.try_get_u8().ok()?, bytes.try_get_u64_le().ok()?))
}

#[cfg(test)]
mod tests;

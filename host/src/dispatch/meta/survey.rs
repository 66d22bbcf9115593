//! Survey: the session meta procedures for all nodes of a cluster.
//!
//! Each node answers for its own sessions, within [`ACKNOWLEDGE_TIMEOUT`]. The rights of the caller are checked on
//! its node. A number or a list without the answer of a node is marked with `partial`.

use futures_util::future::join_all;
use jackfield_broker::{PendingFlushes, Session};
use jackfield_wamp::error_uri;
use jackfield_wamp::id::SessionId;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::sessions::Asker;
use super::{Answer, MAX_LISTED};
use crate::cluster::{ACKNOWLEDGE_TIMEOUT, Subject};
use crate::dispatch::{Dispatch, Refusal, flush_before_wait};

/// A procedure about the sessions of a node, for a session of another one.
pub(crate) struct SessionQuestion {
    realm: String,
    name: String,
    arguments: Arguments,
    asker: SessionId,
    authid: String,
}

impl SessionQuestion {
    /// Returns the name of the realm.
    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    /// Reads a question of another node, and ignores what a later version has written behind it.
    pub(crate) fn decode(question: &[u8]) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(question).ok()?;
        let parts = value.as_array_mut().filter(|parts| parts.len() >= 5)?;
        parts.truncate(5);
        let authid = parts.pop()?.as_str()?.to_owned();
        let asker = SessionId::new(parts.pop()?.as_u64()?)?;
        let arguments = Arguments::from_json(parts.pop()?)?;
        let name = parts.pop()?.as_str()?.to_owned();
        Some(Self { realm: parts.pop()?.as_str()?.to_owned(), name, arguments, asker, authid })
    }
}

impl Dispatch {
    /// Answers a session meta procedure for all nodes.
    pub(super) async fn survey_sessions(
        &self,
        from: &Session,
        name: &str,
        arguments: &Arguments,
        batch: &mut PendingFlushes,
    ) -> Result<Answer, Refusal> {
        let authid = from.identity.authid.as_str();
        let here = self.session_meta(&Asker { id: from.id, authid }, name, arguments, batch);
        let Some(cluster) = &self.cluster else { return here };
        let merge = match Merge::of(name) {
            Some(Merge::First) if here.is_ok() => return here,
            Some(merge) => merge,
            None => return here,
        };
        if here.as_ref().is_err_and(|refusal| refusal.uri() != error_uri::NO_SUCH_SESSION) {
            return here;
        }
        let nodes: Vec<_> = cluster.members().others().collect();
        let question = (self.realm.name(), name, arguments.to_json(), from.id.get(), authid);
        let question = json!(question).to_string();
        let asked = nodes.iter().map(|node| {
            cluster.exchange().ask(
                *node,
                Subject::Sessions,
                question.as_bytes(),
                ACKNOWLEDGE_TIMEOUT,
            )
        });
        let answers = flush_before_wait(batch, join_all(asked)).await;
        let mut is_partial = false;
        let there = answers.into_iter().filter_map(|answer| {
            let read = answer.ok().and_then(|it| read_answer(&it).ok());
            is_partial |= read.is_none();
            read.flatten()
        });
        let there = there.collect::<Vec<_>>();
        match merge.merge(here, there) {
            Err(_) if is_partial => Err(Refusal::new(
                error_uri::UNAVAILABLE,
                "a node of the cluster has not answered, and may have the session: try again later"
                    .to_owned(),
            )),
            merged => merged.map(|answer| Answer { is_partial, ..answer }),
        }
    }

    /// Answers a session of another node. The answer is empty if there is none.
    pub(crate) fn answer_node(
        &self,
        question: &SessionQuestion,
        batch: &mut PendingFlushes,
    ) -> String {
        let SessionQuestion { name, arguments, asker, authid, .. } = question;
        let answer = self.session_meta(&Asker { id: *asker, authid }, name, arguments, batch);
        answer.map_or_else(|_| String::new(), |it| json!([it.value, it.total]).to_string())
    }
}

/// Reads the answer of a node; `None` if it has no such session.
fn read_answer(answer: &[u8]) -> serde_json::Result<Option<(Value, Option<usize>)>> {
    if answer.is_empty() {
        return Ok(None);
    }
    // A later version may write more behind it.
    let mut parts: Vec<Value> = serde_json::from_slice(answer)?;
    parts.truncate(2);
    serde_json::from_value(Value::Array(parts)).map(Some)
}

/// One answer of those of all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    /// The sum of numbers.
    Sum,
    /// One list of ids.
    List,
    /// The first node that has the session.
    First,
}

impl Merge {
    fn of(name: &str) -> Option<Self> {
        match name {
            "count" | "kill_by_authrole" | "kill_all" => Some(Self::Sum),
            "list" | "kill_by_authid" => Some(Self::List),
            "get" | "kill" => Some(Self::First),
            _ => None,
        }
    }

    fn merge(
        self,
        here: Result<Answer, Refusal>,
        there: Vec<(Value, Option<usize>)>,
    ) -> Result<Answer, Refusal> {
        match self {
            Self::First => match there.into_iter().next() {
                Some((value, _)) => Ok(value.into()),
                None => here,
            },
            Self::Sum => {
                let numbers = there.iter().filter_map(|(value, _)| value.as_u64());
                let number = here?.value.as_u64().unwrap_or_default();
                Ok(json!(numbers.fold(number, u64::saturating_add)).into())
            }
            Self::List => {
                let here = here?;
                let mut ids = Vec::new();
                let mut total = 0_usize;
                for (value, of_node) in there.into_iter().chain([(here.value, here.total)]) {
                    let Value::Array(list) = value else { continue };
                    total = total.saturating_add(of_node.unwrap_or(list.len()));
                    ids.extend(list.iter().filter_map(Value::as_u64));
                }
                ids.sort_unstable();
                ids.truncate(MAX_LISTED);
                let is_cut = ids.len() < total;
                Ok(Answer { total: is_cut.then_some(total), ..json!(ids).into() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_nodes_are_merged() {
        let no_session = || Err(Refusal::new(error_uri::NO_SUCH_SESSION, String::new()));
        let check = |name, here: Value, there: Vec<(Value, Option<usize>)>, value, total| {
            let merged = Merge::of(name).unwrap().merge(Ok(here.into()), there).unwrap();
            assert_eq!((merged.value, merged.total), (value, total), "{name}");
        };
        check("count", json!(1), vec![(json!(2), None), (json!("?"), None)], json!(3), None);
        let lists = vec![(json!([1, 9]), None), (json!([4]), Some(20_000))];
        check("list", json!([5]), lists, json!([1, 4, 5, 9]), Some(20_003));
        let found = Merge::First.merge(no_session(), vec![(json!({"session": 1}), None)]).unwrap();
        assert_eq!(found.value, json!({"session": 1}));
        assert!(Merge::First.merge(no_session(), Vec::new()).is_err());
        assert_eq!(Merge::of("add_testament"), None);
    }

    #[test]
    fn answers_of_nodes_are_read() {
        let read = |text: &str| read_answer(text.as_bytes());
        for text in [r"[[1],2]", r#"[[1],2,"later"]"#] {
            assert_eq!(read(text).unwrap(), Some((json!([1]), Some(2))), "{text}");
        }
        assert_eq!(read("").unwrap(), None);
        assert!(read("[1]").is_err() && read("7").is_err());
    }

    #[test]
    fn questions_of_nodes_are_read() {
        let text = r#"["shop","kill",[[7],{"reason":"a.b"}],12,"ann"]"#;
        let question = SessionQuestion::decode(text.as_bytes()).unwrap();
        assert_eq!((question.realm(), question.name.as_str()), ("shop", "kill"));
        assert_eq!((question.asker.get(), question.authid.as_str()), (12, "ann"));
        assert_eq!(question.arguments.to_json(), json!([[7], {"reason": "a.b"}]));
        let later = r#"["shop","kill",[[7],{}],12,"ann",{"later":1}]"#;
        assert!(SessionQuestion::decode(later.as_bytes()).is_some());
        for text in ["", "[]", r#"["shop","kill",[7],12,"ann"]"#, r#"["a","b",[[],{}],0,"c"]"#] {
            assert!(SessionQuestion::decode(text.as_bytes()).is_none(), "{text}");
        }
    }
}

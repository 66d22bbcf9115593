//! Histories over HTTP, `GET /api/topics/TOPIC/history` and `GET /api/topics/TOPIC/position`: for back
//! ends that render pages, which go on from a position.

use hyper::StatusCode;
use jackfield_wamp::position::Since;

use super::Context;
use super::problem::Problem;
use super::tokens::Token;
use crate::dispatch::DEFAULT_EVENTS;
use crate::http::response::Answer;

/// The paths of the endpoints begin with it.
pub(super) const PREFIX: &str = "/api/topics/";

/// A question about a topic.
enum Question {
    History,
    Position,
}

/// The parameters of the query.
#[derive(Default)]
struct Parameters {
    realm: Option<String>,
    epoch: Option<String>,
    offset: Option<u64>,
    limit: Option<usize>,
}

/// Answers a question about a topic.
///
/// # Errors
/// When the path or the query is wrong, or the token may not subscribe to the topic.
pub(super) async fn answer(
    context: &Context,
    token: &Token,
    path: &str,
    query: Option<&str>,
) -> Result<Answer, Problem> {
    let (topic, question) = parse_path(path).ok_or_else(|| Problem::not_found(path))?;
    let Parameters { realm, epoch, offset, limit } = Parameters::parse(query, &question)?;
    let dispatch = token.dispatch(&context.realms, realm.as_deref())?;
    match question {
        Question::Position => {
            Ok(Answer::json(StatusCode::OK, &dispatch.position(&token.session, &topic).await?))
        }
        Question::History => {
            let since = Since { epoch, offset, ..Since::default() }.position();
            let limit = limit.unwrap_or(DEFAULT_EVENTS);
            let page = dispatch.history(&token.session, &topic, since, limit).await?;
            Ok(Answer::json(StatusCode::OK, &page))
        }
    }
}

/// Splits a path. The topic stands in it as it is, or percent-encoded.
fn parse_path(path: &str) -> Option<(String, Question)> {
    let (topic, last) = path.strip_prefix(PREFIX)?.rsplit_once('/')?;
    let question = match last {
        "history" => Question::History,
        "position" => Question::Position,
        _ => return None,
    };
    // In a path, `+` is itself.
    let pair = format!("topic={}", topic.replace('+', "%2B").replace('&', "%26"));
    let (_, topic) = form_urlencoded::parse(pair.as_bytes()).next()?;
    Some((topic.into_owned(), question))
}

impl Parameters {
    fn parse(query: Option<&str>, question: &Question) -> Result<Self, Problem> {
        let known = match question {
            Question::History => "`realm`, `epoch`, `offset` and `limit`",
            Question::Position => "`realm`",
        };
        let wrong =
            || Problem::invalid(format!("the query has the keys {known}, each at most once"));
        let mut found = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let is_new = match (&*key, question) {
                ("realm", _) => found.realm.replace(value.into_owned()).is_none(),
                ("epoch", Question::History) => found.epoch.replace(value.into_owned()).is_none(),
                ("offset", Question::History) => {
                    found.offset.replace(number(&key, &value)?).is_none()
                }
                ("limit", Question::History) => {
                    found.limit.replace(number(&key, &value)?).is_none()
                }
                _ => false,
            };
            if !is_new {
                return Err(wrong());
            }
        }
        if found.epoch.is_some() != found.offset.is_some() {
            let message = "`epoch` and `offset` belong together: a position has both".to_owned();
            return Err(Problem::invalid(message));
        }
        Ok(found)
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Problem> {
    value.parse().map_err(|_error| Problem::invalid(format!("`{key}` is a whole number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_topics_from_paths() {
        let topic = |path: &str| parse_path(path).map(|(topic, _)| topic);
        let expect = [
            ("/api/topics/acme/orders/7/history", Some("acme/orders/7")),
            ("/api/topics/acme%2Forders%2F7/position", Some("acme/orders/7")),
            ("/api/topics/a+b&c%25=d/history", Some("a+b&c%=d")),
            ("/api/topics/history/history", Some("history")),
            ("/api/topics/a", None),
            ("/api/topics/a/events", None),
            ("/api/topics//history", Some("")),
        ];
        for (path, expect) in expect {
            assert_eq!(topic(path).as_deref(), expect, "{path}");
        }
    }
}

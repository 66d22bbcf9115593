//! An answer of the server that has no end of its own: it is read as it comes.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::signals::Stop;

use super::{ANSWER_TIME, Answer, ControlError, MAX_ANSWER_BYTES, Server};

/// Receives the signals that end a command with such an answer.
pub(in crate::cli) fn stop() -> Result<Stop, ControlError> {
    let stop = Stop::of_command();
    stop.map_err(|error| ControlError::Refused(format!("failed to get signals: {error}")))
}

/// The body of such an answer. The connection is closed when it is dropped.
pub(in crate::cli) struct Stream<'s> {
    server: &'s Server,
    body: Incoming,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Server {
    /// Sends a request whose answer is a stream.
    pub(in crate::cli) async fn open(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Stream<'_>, ControlError> {
        let sent = timeout(ANSWER_TIME, self.send(Method::POST, path, Some(body))).await;
        let none = |_| self.failed(&format_args!("none within {ANSWER_TIME:?}"));
        let (response, connection) = sent.map_err(none)??;
        let status = response.status();
        let stream = Stream { server: self, body: response.into_body(), connection };
        if status == StatusCode::OK {
            return Ok(stream);
        }
        Err(stream.refusal(status).await)
    }
}

impl Stream<'_> {
    /// The next part; none at the end.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<Bytes>, ControlError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.server.failed(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn refusal(mut self, status: StatusCode) -> ControlError {
        let text = Limited::new(&mut self.body, MAX_ANSWER_BYTES).collect();
        let text = match timeout(ANSWER_TIME, text).await {
            Ok(Ok(text)) => text.to_bytes(),
            Ok(Err(error)) => return self.server.failed(&error),
            Err(_elapsed) => return self.server.failed(&"it has no end"),
        };
        let Ok(body) = serde_json::from_slice(&text) else {
            return self.server.failed(&"it is not JSON");
        };
        let answer = Answer { status, text, body, help: None };
        match answer.accepted() {
            Ok(_) => self.server.failed(&format_args!("it has the status {status}")),
            Err(refused) => refused,
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

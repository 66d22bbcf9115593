//! One HTTP request and its answer over any stream, for the commands `health` and `doctor`. They ask
//! strange servers, so the answer is bounded, and kept as it came.

use std::io;
use std::time::Duration;

use jackfield_text::Untrusted;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The maximum size of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// The maximum number of headers of an answer.
const MAX_HEADERS: usize = 100;
/// The time for the whole answer.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(10);
/// The status of an upgrade, after which nothing ends the answer.
const SWITCHING_PROTOCOLS: u16 = 101;

/// An answer.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// Sends the head of a request, and reads the answer until the server ends the connection.
///
/// # Errors
/// When there is no answer in time, or when it is not HTTP.
pub(super) async fn exchange<S>(mut stream: S, head: &str) -> io::Result<HttpAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let read = async {
        stream.write_all(head.as_bytes()).await?;
        let mut bytes = Vec::new();
        while bytes.len() < MAX_ANSWER_BYTES {
            let is_upgraded = parse(&bytes)?.is_some_and(|it| it.status == SWITCHING_PROTOCOLS);
            if is_upgraded || stream.read_buf(&mut bytes).await? == 0 {
                break;
            }
        }
        Ok(bytes)
    };
    let bytes = timeout(MAX_ANSWER_TIME, read).await.unwrap_or_else(|_elapsed| {
        let message = format!("no answer within {MAX_ANSWER_TIME:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    })?;
    parse(&bytes)?.ok_or_else(|| io::Error::other("the connection ended before an answer"))
}

/// Parses what has arrived. None while the head is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<HttpAnswer>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(io::Error::other(format!("it does not speak HTTP: {error}"))),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = response.headers.iter();
    Ok(Some(HttpAnswer {
        status: response.code.unwrap_or_default(),
        headers: headers.map(|it| (it.name.to_owned(), text(it.value))).collect(),
        body: text(bytes.get(length..).unwrap_or_default()),
    }))
}

impl HttpAnswer {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name))?;
        Some(found.1.trim())
    }

    /// The first line of the body, to be shown.
    pub(super) fn first_line(&self) -> String {
        const MAX_SHOWN_BYTES: usize = 120;
        let line = self.body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Untrusted::new(line.trim()).at_most(MAX_SHOWN_BYTES).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_answers_and_stops_at_an_upgrade() {
        let ask = async |answer: &'static str, ends: bool| {
            let (near, mut far) = tokio::io::duplex(1 << 10);
            let serving = tokio::spawn(async move {
                let mut request = [0; 5];
                far.read_exact(&mut request).await.unwrap();
                far.write_all(answer.as_bytes()).await.unwrap();
                if ends { None } else { Some(far) }
            });
            let answer = exchange(near, "hello").await;
            drop(serving.await.unwrap());
            answer
        };
        let answer =
            ask("HTTP/1.1 200 OK\r\nA: b \r\n\r\n\nfirst\u{1b}\nsecond", true).await.unwrap();
        assert_eq!((answer.status, answer.header("a")), (200, Some("b")));
        assert_eq!(answer.first_line(), "first\\u{1b}");
        let upgraded = "HTTP/1.1 101 Switching Protocols\r\n\r\n\u{1}";
        assert_eq!(ask(upgraded, false).await.unwrap().status, 101);
        let error = ask("SSH-2.0-OpenSSH\r\n", true).await.unwrap_err();
        assert!(error.to_string().starts_with("it does not speak HTTP"), "{error}");
        let error = ask("HTTP/1.1 200", true).await.unwrap_err();
        assert!(error.to_string().contains("ended before an answer"), "{error}");
    }
}

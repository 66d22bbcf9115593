//! Bodies of requests: read within limits of size and time.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::Body;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;

/// The time for a body that is one JSON object to arrive.
const MAX_JSON_TIME: Duration = Duration::from_secs(5);

/// Reads a body that is a JSON object of at most `max_bytes`. Without a body, all its keys have their
/// defaults.
///
/// # Errors
/// 400, 408 or 413.
pub(super) async fn read_json<B, T>(request: Request<B>, max_bytes: usize) -> Result<T, Problem>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    T: DeserializeOwned + Default,
{
    let body = Limited::new(request.into_body(), max_bytes).collect();
    let body = match timeout(MAX_JSON_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Problem::too_large(max_bytes));
        }
        Ok(Err(error)) => return Err(unreadable(&*error)),
        Err(_elapsed) => return Err(not_whole(MAX_JSON_TIME)),
    };
    if body.is_empty() {
        return Ok(T::default());
    }
    // A list would be taken for the fields of the object in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::invalid("the body has to be a JSON object"));
    }
    serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))
}

/// The pace at which a long body has to arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The time for the next `min_bytes`, or for the end.
    pub(super) window: Duration,
    pub(super) min_bytes: usize,
    /// The time for the whole body.
    pub(super) max_time: Duration,
}

/// A long body, read part by part. One that arrives too slowly is an error: a client must not keep
/// its place by a byte now and then.
pub(super) struct Parts<B> {
    body: Pin<Box<B>>,
    pace: Pace,
    /// The end of the time for the whole body.
    whole_by: Instant,
    /// The end of the present window, and the bytes that have arrived in it.
    window_by: Instant,
    window_bytes: usize,
}

impl<B> Parts<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    /// A body whose time begins now.
    pub(super) fn new(body: B, pace: Pace) -> Self {
        let now = Instant::now();
        Self {
            body: Box::pin(body),
            pace,
            whole_by: now + pace.max_time,
            window_by: now + pace.window,
            window_bytes: 0,
        }
    }

    /// Returns the next part; `None` at the end.
    ///
    /// # Errors
    /// 400, or 408 with the limit that was exceeded.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let frame = timeout_at(self.window_by.min(self.whole_by), self.body.frame()).await;
        let Pace { window, min_bytes, max_time } = self.pace;
        let now = Instant::now();
        let frame = match frame {
            // Parts that arrive without a pause would never be late.
            Ok(frame) if now < self.whole_by => frame,
            Ok(None) => None,
            Err(_elapsed) if now < self.whole_by => {
                let text = format!(
                    "the body came too slowly: less than {min_bytes} bytes within {window:?}"
                );
                return Err(Problem::too_slow(text));
            }
            Ok(Some(_)) | Err(_) => return Err(not_whole(max_time)),
        };
        let Some(frame) = frame else { return Ok(None) };
        let part = frame.map_err(|error| unreadable(&*error.into()))?;
        let part = part.into_data().unwrap_or_default();
        self.window_bytes += part.len();
        if self.window_bytes >= min_bytes {
            (self.window_by, self.window_bytes) = (now + window, 0);
        }
        Ok(Some(part))
    }
}

fn not_whole(time: Duration) -> Problem {
    Problem::too_slow(format!("the body did not arrive within {time:?}"))
}

fn unreadable(error: &dyn Error) -> Problem {
    Problem::invalid(format!("the body could not be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::sleep;

    use super::*;

    const BRIEF: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_mins(1);

    /// A byte each millisecond, `count` times.
    fn drip(count: usize) -> impl Body<Data = Bytes, Error = Infallible> {
        StreamBody::new(stream::unfold(count, |left| async move {
            sleep(Duration::from_millis(1)).await;
            let frame = Frame::data(Bytes::from_static(b"x"));
            (left > 0).then(|| (Ok(frame), left - 1))
        }))
    }

    /// Reads a body to its end.
    async fn read(count: usize, pace: Pace) -> Result<usize, String> {
        let mut parts = Parts::new(drip(count), pace);
        let mut bytes = 0;
        while let Some(part) = parts.next().await.map_err(|problem| problem.to_string())? {
            bytes += part.len();
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_long_body_has_to_make_progress() {
        let pace = Pace { window: LONG, min_bytes: 2, max_time: LONG };
        assert_eq!(read(5, pace).await, Ok(5));
        let endless = usize::MAX;
        let slow = Pace { window: BRIEF, min_bytes: 1 << 20, max_time: LONG };
        let error = read(endless, slow).await.unwrap_err();
        assert_eq!(error, "the body came too slowly: less than 1048576 bytes within 50ms");
        let late = Pace { window: LONG, min_bytes: 1, max_time: BRIEF };
        let error = read(endless, late).await.unwrap_err();
        assert_eq!(error, "the body did not arrive within 50ms");
    }
}

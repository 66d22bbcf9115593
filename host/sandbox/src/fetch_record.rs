//! Record of one answer of HTTP that a hook waited for.

use serde::{Deserialize, Serialize};

use crate::outgoing::request::{HttpError, HttpResponse};
use crate::store_value::StoreValue;

/// Memory of an answer without a response, in bytes.
const OVERHEAD_BYTES: usize = 64;

/// The answer to a request of HTTP that a hook waited for; requests go by method and server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchRecord {
    /// A response.
    Response(FetchedResponse),
    /// The reason why there is none.
    Failed(HttpError),
}

/// A response of HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedResponse {
    /// The status.
    pub status: u16,
    /// Names and values of the headers.
    pub headers: Vec<(String, StoreValue)>,
    /// The body.
    pub body: StoreValue,
}

impl FetchRecord {
    /// Size in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Failed(error) => OVERHEAD_BYTES + error.len(),
            Self::Response(FetchedResponse { headers, body, .. }) => {
                let header = |(name, value): &(String, StoreValue)| name.len() + value.0.len();
                headers.iter().map(header).sum::<usize>() + body.0.len()
            }
        }
    }
}

impl From<Result<HttpResponse, HttpError>> for FetchRecord {
    fn from(answer: Result<HttpResponse, HttpError>) -> Self {
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Self::Failed(error),
        };
        let HttpResponse { status, headers, body } = response;
        let headers = headers.into_iter().map(|(name, value)| (name, StoreValue(value)));
        let (headers, body) = (headers.collect(), StoreValue(body));
        Self::Response(FetchedResponse { status, headers, body })
    }
}

impl From<FetchRecord> for Result<HttpResponse, HttpError> {
    fn from(record: FetchRecord) -> Self {
        match record {
            FetchRecord::Failed(error) => Err(error),
            FetchRecord::Response(FetchedResponse { status, headers, body }) => {
                let headers = headers.into_iter().map(|(name, value)| (name, value.0)).collect();
                Ok(HttpResponse { status, headers, body: body.0 })
            }
        }
    }
}

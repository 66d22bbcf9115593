//! Negotiation of permessage-deflate; RFC 7692, sections 5 and 7.1.
//!
//! No side keeps its window between messages: a compressed frame is the same for all clients, and
//! an idle connection has no memory for compression.

use crate::deflate::WINDOW_BITS;

/// The answer to an offer that does not limit the window of the server.
const ACCEPTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The answer to an offer that does. It names [`WINDOW_BITS`].
const ACCEPTED_WITH_WINDOW: &str = "permessage-deflate; server_no_context_takeover; \
                                    client_no_context_takeover; server_max_window_bits=12";

/// The sizes of windows that an offer may name, as exponents of 2.
const ANY_WINDOW_BITS: std::ops::RangeInclusive<u8> = 8..=15;

/// Returns the answer to the offers of a client, a value of `Sec-WebSocket-Extensions`: it accepts the
/// first offer of permessage-deflate that this server can keep. `None` accepts none.
pub fn accept_deflate<'a>(offers: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    offers.into_iter().find_map(answer)
}

/// Returns the answer to one offer; `None` declines it. An offer with a parameter that RFC 7692 does not
/// know, with a value that it does not allow, or with a repeated parameter is declined; section 7.1.
fn answer(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut answer = ACCEPTED;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            // The answer has the first two, whether the client offers them or not. Any window of the client
            // is small enough to be read.
            (
                "server_no_context_takeover"
                | "client_no_context_takeover"
                | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(value)) => drop(window_bits(value)?),
            ("server_max_window_bits", Some(value)) if window_bits(value)? >= WINDOW_BITS => {
                answer = ACCEPTED_WITH_WINDOW;
            }
            _ => return None,
        }
    }
    Some(answer)
}

/// Returns the content of a quoted string, or the text itself.
fn unquoted(value: &str) -> &str {
    let content = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    content.unwrap_or(value)
}

/// Parses the size of a window: a decimal number without leading zeros; RFC 7692, section 7.1.2.
fn window_bits(value: &str) -> Option<u8> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| is_number && ANY_WINDOW_BITS.contains(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_first_offer_that_it_can_keep() {
        for (offers, expected) in [
            ("permessage-deflate", Some(ACCEPTED)),
            // Chromium; the second is Python's `websockets`.
            ("permessage-deflate; client_max_window_bits", Some(ACCEPTED)),
            (
                "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
                Some(ACCEPTED_WITH_WINDOW),
            ),
            (
                "permessage-deflate ;server_no_context_takeover; client_no_context_takeover",
                Some(ACCEPTED),
            ),
            ("permessage-deflate; server_max_window_bits = \"15\"", Some(ACCEPTED_WITH_WINDOW)),
            ("permessage-deflate; client_max_window_bits=8", Some(ACCEPTED)),
            // A smaller window than the one that is used.
            ("permessage-deflate; server_max_window_bits=11", None),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", Some(ACCEPTED)),
            ("x-webkit-deflate-frame, permessage-deflate", Some(ACCEPTED)),
            ("permessage-bzip2", None),
            ("", None),
            // Errors in parameters.
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=012", None),
            ("permessage-deflate; server_max_window_bits=+12", None),
            ("permessage-deflate; client_max_window_bits=", None),
            ("permessage-deflate; client_max_window_bits=99", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
            ("permessage-deflate; quality=9", None),
            ("permessage-deflate;", None),
        ] {
            let answer = accept_deflate(offers.split(',').map(str::trim));
            assert_eq!(answer, expected, "{offers}");
        }
    }

    #[test]
    fn names_the_window_that_it_uses() {
        let (_, window) = ACCEPTED_WITH_WINDOW.rsplit_once('=').unwrap();
        assert_eq!(window.parse(), Ok(WINDOW_BITS));
        assert!(ACCEPTED_WITH_WINDOW.starts_with(ACCEPTED));
    }
}

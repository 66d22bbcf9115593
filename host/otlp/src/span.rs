//! Spans, and their parents.

use std::time::SystemTime;

/// A span: something that was done, and what was done within it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The name, one of few: backends group spans by it.
    pub name: String,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// Names and values.
    pub attributes: Vec<(&'static str, String)>,
    /// The error that it ended with.
    pub error: Option<String>,
    /// The spans within it.
    pub within: Vec<Self>,
}

/// The span of a caller, within which a span belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The id of the trace.
    pub trace: [u8; 16],
    /// The id of the span.
    pub span: [u8; 8],
    /// Whether the caller records its span.
    pub is_sampled: bool,
}

impl Parent {
    /// Reads the header `traceparent`: version, ids and flags in hexadecimal. None if it is malformed, or
    /// names no span. W3C Trace Context, section 3.2.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let flags = parts.next()?;
        let [version] = bytes(version)?;
        // Later versions may append parts.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, [flags]) = (bytes(trace)?, bytes(span)?, bytes(flags)?);
        let is_named = trace != [0; 16] && span != [0; 8];
        is_named.then_some(Self { trace, span, is_sampled: flags & 1 == 1 })
    }
}

/// Reads lower-case hexadecimal digits, two for each byte.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if digits.len() != 2 * N {
        return None;
    }
    let mut read = [0; N];
    for (byte, pair) in read.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parents_of_the_specification_and_no_others() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::parse(good).unwrap();
        assert_eq!(parent.trace[..2], [0x4b, 0xf9]);
        assert_eq!(parent.span[6..], [0x02, 0xb7]);
        assert!(parent.is_sampled);
        assert!(!Parent::parse(&good.replace("-01", "-00")).unwrap().is_sampled);
        // A later version, with one part more.
        assert!(Parent::parse(&format!("01{}-x", &good[2..])).is_some());
        let bad = [
            String::new(),
            format!("{good}-x"),
            format!("ff{}", &good[2..]),
            good.to_uppercase(),
            good[..54].to_owned(),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace("00f067aa0ba902b7", "00f067aa0ba902é"),
        ];
        for bad in bad {
            assert_eq!(Parent::parse(&bad), None, "{bad}");
        }
    }
}

//! Timestamp: the header of every published text, with the run, the time of publication, the topic,
//! and its sequence number. It gives each delivery's latency without a table, and distinguishes
//! deliveries of other runs.
//!
//! Fixed width, hexadecimal, and no character that any of the protocols would escape.

/// Time and place of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp {
    /// The run's id.
    pub(crate) run: u16,
    /// Nanoseconds on the run's clock, modulo 2⁴⁸ (78 hours).
    pub(crate) time: u64,
    /// The topic's index.
    pub(crate) topic: u32,
    /// The sequence number of the event in its topic, modulo 2²⁴.
    pub(crate) sequence: u32,
    /// Whether it was published after the warm-up.
    pub(crate) measured: bool,
}

const RUN_DIGITS: usize = 4;
const TIME_DIGITS: usize = 12;
const TOPIC_DIGITS: usize = 5;
const SEQUENCE_DIGITS: usize = 6;

const TIME_MASK: u64 = (1 << (4 * TIME_DIGITS)) - 1;
const SEQUENCE_MASK: u32 = (1 << (4 * SEQUENCE_DIGITS)) - 1;

impl Timestamp {
    /// Length in bytes.
    pub(crate) const BYTES: usize = 1 + RUN_DIGITS + TIME_DIGITS + TOPIC_DIGITS + SEQUENCE_DIGITS;

    /// Number of distinct topics.
    pub(crate) const MAX_TOPICS: usize = 1 << (4 * TOPIC_DIGITS);

    /// Writes the header over the beginning of a text.
    pub(crate) fn write(self, text: &mut [u8]) {
        let flag = if self.measured { b'm' } else { b'w' };
        let mut fields = text.iter_mut();
        if let Some(first) = fields.next() {
            *first = flag;
        }
        let digits = [
            (u64::from(self.run), RUN_DIGITS),
            (self.time, TIME_DIGITS),
            (u64::from(self.topic), TOPIC_DIGITS),
            (u64::from(self.sequence), SEQUENCE_DIGITS),
        ];
        for (number, count) in digits {
            for place in (0..count).rev() {
                if let Some(byte) = fields.next() {
                    *byte = digit(number >> (4 * place));
                }
            }
        }
    }

    /// Reads the header from the beginning of a text. `None` without a valid header.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let (flag, rest) = text.split_first()?;
        let (run, rest) = rest.split_at_checked(RUN_DIGITS)?;
        let (time, rest) = rest.split_at_checked(TIME_DIGITS)?;
        let (topic, rest) = rest.split_at_checked(TOPIC_DIGITS)?;
        let sequence = rest.get(..SEQUENCE_DIGITS)?;
        Some(Self {
            run: u16::try_from(number(run)?).ok()?,
            time: number(time)?,
            topic: u32::try_from(number(topic)?).ok()?,
            sequence: u32::try_from(number(sequence)?).ok()?,
            measured: match flag {
                b'm' => true,
                b'w' => false,
                _ => return None,
            },
        })
    }

    /// Nanoseconds from the publication to `now`.
    pub(crate) const fn age(self, now: u64) -> u64 {
        now.wrapping_sub(self.time) & TIME_MASK
    }

    /// Returns the distance ahead of the expected sequence number; `None` if it is behind.
    pub(crate) const fn ahead_of(self, expected: u32) -> Option<u32> {
        let distance = self.sequence.wrapping_sub(expected) & SEQUENCE_MASK;
        if distance <= SEQUENCE_MASK / 2 { Some(distance) } else { None }
    }
}

const fn digit(number: u64) -> u8 {
    let nibble = (number & 0xf) as u8;
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for byte in digits {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u64::from(value);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMESTAMP: Timestamp = Timestamp {
        run: 0x1234,
        time: 0x0123_4567_89ab,
        topic: 0xf_ffff,
        sequence: 0xab_cdef,
        measured: true,
    };

    #[test]
    fn reads_its_own_output() {
        let mut text = [b'.'; 34];
        TIMESTAMP.write(&mut text);
        assert_eq!(&text, b"m12340123456789abfffffabcdef......");
        assert_eq!(Timestamp::read(&text), Some(TIMESTAMP));
        assert_eq!(Timestamp::read(&text[..Timestamp::BYTES]), Some(TIMESTAMP));
        for broken in [&text[..Timestamp::BYTES - 1], b"", b"x12340123456789abfffffabcdef"] {
            assert_eq!(Timestamp::read(broken), None);
        }
    }

    #[test]
    fn ages_and_numbers_survive_the_wrap() {
        let old = Timestamp { time: TIME_MASK - 9, ..TIMESTAMP };
        assert_eq!(old.age(TIME_MASK + 6), 15);
        let first = Timestamp { sequence: 0, ..TIMESTAMP };
        assert_eq!(first.ahead_of(SEQUENCE_MASK), Some(1));
        assert_eq!(first.ahead_of(0), Some(0));
        assert_eq!(first.ahead_of(5), None);
        // The expected number may be a counter that never wraps.
        assert_eq!(first.ahead_of(SEQUENCE_MASK + 1), Some(0));
    }
}

//! Share of topics that a canary serves, and the choice of these topics.
//!
//! The choice is a hash of the plugin's name and the topic, which is the same in every process and
//! release: a topic keeps to one version over restarts, and a larger share has the topics of a
//! smaller one.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use fnv::FnvHasher;
use serde::{Deserialize, Serialize};

/// A share of topics, in hundredths of a percent: 1 to [`WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Share(u16);

/// All topics, in hundredths of a percent.
const WHOLE: u16 = 10_000;

/// A text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a share from 0.01% to 100%, such as 10%")]
pub(crate) struct ShareError;

impl Share {
    /// Returns whether the topic of this plugin is among the share.
    pub(crate) fn has(self, plugin: &str, topic: &str) -> bool {
        let mut hasher = FnvHasher::default();
        for part in [plugin.as_bytes(), &[0], topic.as_bytes()] {
            hasher.write(part);
        }
        mix(hasher.finish()) % u64::from(WHOLE) < u64::from(self.0)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let number = text.strip_suffix('%').ok_or(ShareError)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits =
            |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if !are_digits(whole) || !are_digits(part) || part.len() > 2 {
            return Err(ShareError);
        }
        let whole: u16 = whole.parse().map_err(|_| ShareError)?;
        let part: u16 = format!("{part:0<2}").parse().map_err(|_| ShareError)?;
        let share = whole.checked_mul(100).and_then(|whole| whole.checked_add(part));
        share.filter(|share| (1..=WHOLE).contains(share)).map(Self).ok_or(ShareError)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

/// Spreads the bits: FNV alone puts topics that differ in their last letter side by side.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn shares_are_percentages() {
        for text in ["10%", "0.01%", "0.5%", "33.33%", "100%"] {
            assert_eq!(share(text).to_string(), text);
        }
        assert_eq!(share("2.50%").to_string(), "2.5%");
        for wrong in ["10", "0%", "0.001%", "101%", "-1%", "+1%", "%", ".5%", "1.%", "a%", "1e1%"] {
            assert_eq!(wrong.parse::<Share>(), Err(ShareError), "{wrong}");
        }
        assert_eq!("999999999999%".parse::<Share>(), Err(ShareError));
    }

    #[test]
    fn chooses_as_many_topics_as_the_share_says() {
        let topics: Vec<String> = (0..10_000).map(|number| format!("room/{number}")).collect();
        let chosen = |share: Share| topics.iter().filter(|it| share.has("chat", it)).count();
        let (tenth, half) = (chosen(share("10%")), chosen(share("50%")));
        assert!((800..1_200).contains(&tenth) && (4_700..5_300).contains(&half), "{tenth} {half}");
        assert_eq!(chosen(share("100%")), topics.len());
    }

    #[test]
    fn a_topic_keeps_to_its_version_when_the_share_grows() {
        let grows =
            |topic: &str| share("20%").has("chat", topic) || !share("10%").has("chat", topic);
        assert!((0..10_000).all(|number| grows(&format!("room/{number}"))));
    }

    #[test]
    fn the_choice_is_the_same_in_every_release() {
        let chosen: Vec<u32> =
            (0..40).filter(|it| share("10%").has("chat", &format!("room/{it}"))).collect();
        assert_eq!(chosen, CHOSEN);
    }

    const CHOSEN: [u32; 3] = [22, 24, 30];
}

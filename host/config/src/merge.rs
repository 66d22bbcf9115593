//! Merging of optional settings: an omitted key keeps the current value.

use std::num::NonZeroUsize;
use std::time::Duration;

use jackfield_yaml::{ByteSize, NonZeroDuration};

pub(super) fn set_bytes(value: &mut usize, raw: Option<ByteSize>) {
    *value = raw.map_or(*value, |bytes| bytes.0);
}

pub(super) fn set_count(value: &mut usize, raw: Option<NonZeroUsize>) {
    *value = raw.map_or(*value, NonZeroUsize::get);
}

pub(super) fn set_duration(value: &mut Duration, raw: Option<NonZeroDuration>) {
    *value = raw.map_or(*value, NonZeroDuration::get);
}

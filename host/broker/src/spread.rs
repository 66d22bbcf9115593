//! Numbers that look random, computed from others. All nodes of a cluster compute the same ones.

/// Spreads a number over all bits: one step of SplitMix64.
pub(crate) const fn spread(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Returns a number for a text: FNV-1a, spread over all bits.
pub(crate) fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    spread(text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

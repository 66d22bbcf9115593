//! Names of users of the operating system, read from `/etc/passwd`.
//!
//! A user from another directory (LDAP and the like) has no name here; its number is shown alone.

use std::fs::File;
use std::io::Read as _;

/// The file of users.
const PASSWD: &str = "/etc/passwd";

/// The part of the file that is read.
const MAX_PASSWD_BYTES: u64 = 1 << 20;

/// The name of a user, if the file has it. It blocks for as long as reading a small file takes.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let mut text = String::new();
    File::open(PASSWD).ok()?.take(MAX_PASSWD_BYTES).read_to_string(&mut text).ok()?;
    find(&text, uid)
}

/// The user for people: `www-data (uid 33)`, or `uid 33`.
pub(crate) fn describe(uid: u32) -> String {
    match user_name(uid) {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}

fn find(text: &str, uid: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?;
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_name_by_its_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\n# odd\n\nweb:x:33:33::/:/bin/false\n";
        assert_eq!(find(text, 0).as_deref(), Some("root"));
        assert_eq!(find(text, 33).as_deref(), Some("web"));
        assert_eq!(find(text, 3), None);
        assert_eq!(user_name(0).as_deref(), Some("root"));
    }
}

//! Parsing of a list of roles in one column of a database, in the formats of applications.

use crate::config::RolesForm;
use crate::php::PhpList;

/// Parses the roles in a text of this format.
pub(super) fn read(form: RolesForm, text: &str) -> Result<Vec<String>, &'static str> {
    match form {
        RolesForm::Json => serde_json::from_str(text)
            .map(|PhpList(roles)| roles)
            .map_err(|_| "is not a list of texts in JSON"),
        RolesForm::Comma => {
            let roles = text.split(',').map(str::trim).filter(|role| !role.is_empty());
            Ok(roles.map(str::to_owned).collect())
        }
        RolesForm::Php => php(text.trim()).ok_or("is not a list of texts as PHP serializes it"),
    }
}

/// Parses `a:COUNT:{KEY VALUE …}`. A key is `i:NUMBER;` or `s:BYTES:"…";`, a value is the latter.
fn php(text: &str) -> Option<Vec<String>> {
    let (count, mut rest) = text.strip_prefix("a:")?.split_once(":{")?;
    let count: usize = count.parse().ok()?;
    // The count is untrusted, so nothing is preallocated for it.
    let mut roles = Vec::new();
    for _ in 0..count {
        rest = match rest.strip_prefix("i:") {
            Some(key) => {
                let (number, behind) = key.split_once(';')?;
                number.parse::<i64>().ok()?;
                behind
            }
            None => php_text(rest)?.1,
        };
        let (role, behind) = php_text(rest)?;
        roles.push(role.to_owned());
        rest = behind;
    }
    (rest == "}").then_some(roles)
}

/// Parses `s:BYTES:"…";`. Also returns the rest.
fn php_text(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.strip_prefix("s:")?.split_once(":\"")?;
    let (value, behind) = rest.split_at_checked(length.parse().ok()?)?;
    Some((value, behind.strip_prefix("\";")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_roles() {
        let check = |form, text: &str, expect: Option<&[&str]>| {
            let roles = read(form, text).ok();
            let roles: Option<Vec<&str>> =
                roles.as_ref().map(|it| it.iter().map(String::as_str).collect());
            assert_eq!(roles.as_deref(), expect, "{text}");
        };
        check(RolesForm::Json, r#"["ROLE_A", "ROLE_B"]"#, Some(&["ROLE_A", "ROLE_B"]));
        check(RolesForm::Json, "[]", Some(&[]));
        check(RolesForm::Json, r#"{"0": "ROLE_A", "2": "ROLE_B"}"#, Some(&["ROLE_A", "ROLE_B"]));
        check(RolesForm::Json, "{}", Some(&[]));
        check(RolesForm::Json, "[1]", None);
        check(RolesForm::Json, "[null]", None);
        check(RolesForm::Json, "ROLE_A", None);
        check(RolesForm::Json, r#"["ROLE_A", "ROLE"#, None);
        check(RolesForm::Json, "", None);
        check(RolesForm::Comma, "ROLE_A, ROLE_B,", Some(&["ROLE_A", "ROLE_B"]));
        check(RolesForm::Comma, "", Some(&[]));
        check(RolesForm::Php, "a:0:{}", Some(&[]));
        check(
            RolesForm::Php,
            r#"a:2:{i:0;s:6:"ROLE_A";i:1;s:6:"ROLE_B";}"#,
            Some(&["ROLE_A", "ROLE_B"]),
        );
        // Keys of both kinds, lengths in bytes, and texts that contain the terminator.
        check(RolesForm::Php, r#"a:1:{s:1:"k";s:3:"é";";}"#, None);
        check(RolesForm::Php, r#"a:1:{s:1:"k";s:2:"é";}"#, Some(&["é"]));
        check(RolesForm::Php, r#"a:1:{i:-5;s:3:"a";";}"#, Some(&[r#"a";"#]));
        check(RolesForm::Php, r#"a:1:{i:0;s:1:"é";}"#, None);
        check(RolesForm::Php, r#"a:2:{i:0;s:6:"ROLE_A";}"#, None);
        check(RolesForm::Php, r#"a:0:{i:0;s:6:"ROLE_A";}"#, None);
        check(RolesForm::Php, "a:1:{i:0;i:7;}", None);
        check(RolesForm::Php, r#"O:8:"stdClass":0:{}"#, None);
        check(RolesForm::Php, "a:99999999999999:{}", None);
        check(RolesForm::Php, "", None);
    }

    proptest! {
        #[test]
        fn reads_roles_that_php_serialized(roles in prop::collection::vec(".{0,12}", 0..6)) {
            let entries: Vec<String> = roles
                .iter()
                .enumerate()
                .map(|(index, role)| format!("i:{index};s:{}:\"{role}\";", role.len()))
                .collect();
            let body = entries.concat();
            let text = format!("a:{}:{{{body}}}", roles.len());
            prop_assert_eq!(read(RolesForm::Php, &text), Ok(roles));
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), tail in "[a-z:0-9\"{};]{0,40}") {
            for text in [text, format!("a:1:{{{tail}")] {
                let _ = read(RolesForm::Php, &text);
                let _ = read(RolesForm::Json, &text);
                let _ = read(RolesForm::Comma, &text);
            }
        }
    }
}

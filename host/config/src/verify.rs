//! `plugins.verify`: the public keys that may sign plugins, parsed once.

use jackfield_signing::TrustedKey;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// The help for a text that is no key.
const HELP: &str =
    "write the second line of a minisign.pub file; `jackfield sign --new-key` makes one";

/// The trusted keys: at least one.
pub(super) struct RawVerify(pub(super) Vec<TrustedKey>);

/// A key for all plugins, or a key and the plugins that it may sign.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawKey {
    Key(String),
    Limited(RawLimitedKey),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimitedKey {
    key: String,
    plugins: Vec<String>,
}

impl<'de> Deserialize<'de> for RawVerify {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<RawKey>::deserialize(deserializer)?;
        if written.is_empty() {
            let message = "there is no key, so no plugin could be loaded\nwrite a public key, or \
                           leave the setting out";
            return Err(D::Error::custom(message));
        }
        let keys = written.into_iter().map(|written| {
            let (key, plugins) = match written {
                RawKey::Key(key) => (key, None),
                RawKey::Limited(RawLimitedKey { key, plugins }) => (key, Some(plugins)),
            };
            TrustedKey::parse(&key, plugins.as_deref())
        });
        let keys = keys.collect::<Result<_, _>>();
        keys.map(Self).map_err(|error| D::Error::custom(format!("{error}\n{HELP}")))
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn reads_keys_for_all_and_for_some_plugins() {
        let text = format!("plugins: {{ verify: [{KEY}, {{ key: {KEY}, plugins: [acme-*] }}] }}");
        let plugins = Settings::validated(&text, &[]).unwrap().plugins;
        let numbers: Vec<&str> =
            plugins.verify.iter().map(jackfield_signing::TrustedKey::number).collect();
        assert_eq!(numbers, ["E7620F1842B4E81F", "E7620F1842B4E81F"]);
        assert_ne!(plugins.verify[0], plugins.verify[1]);
        let set = format!("plugins.verify=[{KEY}]");
        assert_eq!(Settings::validated("", &[&set]).unwrap().plugins.verify.len(), 1);
        assert!(Settings::validated("", &[]).unwrap().plugins.verify.is_empty());
    }

    #[test]
    fn rejects_texts_that_are_no_key_and_settings_without_effect() {
        let check = |text: &str, expected: &str| {
            let error = Settings::validated(text, &[]).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}\nlacks\n{expected}");
        };
        check("plugins: { verify: [] }", "there is no key, so no plugin could be loaded");
        check("plugins: { verify: [keys.pub] }", "this is no public key of minisign");
        check("plugins: { verify: RWQ }", "error: ");
        let limited = format!("plugins: {{ verify: [{{ key: {KEY}, plugins: ['['] }}] }}");
        check(&limited, "is not a pattern of plugin names");
        check("plugins: { refuse_downgrades: true }", "no signature has a number to compare");
        let kept = format!("data: off\nplugins: {{ verify: [{KEY}], refuse_downgrades: true }}");
        check(&kept, "nothing is kept");
    }
}

//! CURIEs of one v1 session, as AutobahnJS reads and writes them: the URI followed directly by the
//! reference.

#[derive(Default)]
pub(super) struct Prefixes(Vec<(String, String)>);

impl Prefixes {
    pub(super) fn set(&mut self, prefix: &str, uri: &str) {
        self.0.retain(|(known, _)| known != prefix);
        self.0.push((prefix.to_owned(), uri.to_owned()));
    }

    /// Returns the URI of a CURIE; other texts unchanged.
    pub(super) fn resolve(&self, curie: &str) -> String {
        let known = curie.split_once(':').and_then(|(prefix, reference)| {
            let (_, uri) = self.0.iter().find(|(known, _)| known == prefix)?;
            Some(format!("{uri}{reference}"))
        });
        known.unwrap_or_else(|| curie.to_owned())
    }

    /// Replaces the longest declared URI at the beginning of `uri` by its prefix.
    pub(super) fn shrink(&self, uri: &str) -> String {
        let fits = |(_, known): &&(String, String)| uri.starts_with(known.as_str());
        match self.0.iter().filter(fits).max_by_key(|(_, known)| known.len()) {
            Some((prefix, known)) => format!("{prefix}:{}", &uri[known.len()..]),
            None => uri.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prefixes;

    #[test]
    fn expands_curies_by_concatenation() {
        let mut prefixes = Prefixes::default();
        prefixes.set("acme", "acme/chat/");
        prefixes.set("a", "acme/");
        let check = |uri: &str, curie: &str| {
            assert_eq!(prefixes.shrink(uri), curie);
            assert_eq!(prefixes.resolve(curie), uri);
        };
        check("acme/chat/lobby", "acme:lobby");
        check("acme/news", "a:news");
        check("acme/", "a:");
        check("other/x", "other/x");
        check("http://example.com/x", "http://example.com/x");
    }
}

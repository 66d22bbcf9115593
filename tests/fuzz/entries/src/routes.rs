//! Routing files: any text is a table or a list of errors, each within bounds. A part behind a line
//! `%%%%` is the text of each file that it names, and a further one a payload.

use jackfield_routing::{Action, Files, SourceFile, load};

struct OneText<'a>(&'a str);

impl Files for OneText<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn glob(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(vec!["b.yml".to_owned(), "c.yml".to_owned()])
    }
}

/// Maximum length of an error in a log.
const MAX_SHOWN_BYTES: usize = 64 << 10;

/// A routing file.
pub fn routes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split("%%%%\n");
    let (routing, file) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let payload = parts.next().unwrap_or("{\"a\":1}");
    let source = SourceFile { path: "a.yml".to_owned(), text: routing.to_owned() };
    match load(&[source], &OneText(file)) {
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.to_string().len() < MAX_SHOWN_BYTES);
            }
        }
        Ok(table) => {
            for warning in table.warnings() {
                assert!(warning.warning().to_string().len() < MAX_SHOWN_BYTES);
            }
            for topic in ["a", "a/b", "c/1/2", payload] {
                let found = table.find(topic).map(|it| it.index);
                assert_eq!(found, table.position(topic));
                let earlier = table.routes().iter().position(|route| route.matches(topic));
                assert_eq!(found, earlier, "the first route that matches takes {topic}");
            }
            if serde_json::from_str::<serde_json::Value>(payload).is_ok() {
                let args = format!("[{payload}]");
                let schemas = table.routes().iter().map(|route| &route.schemas);
                for schema in schemas.filter_map(|it| it.of(Action::Publish)) {
                    let _violation = schema.check(&args, "{}").map_err(|it| it.to_string());
                }
            }
        }
    }
}

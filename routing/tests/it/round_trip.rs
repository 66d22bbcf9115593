//! Round trip: a route matches the topics that it generates, with the same values.

use proptest::prelude::*;

use crate::table;

/// A piece of a channel and a value for its variable, if it has one.
#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Any(String),
    Number(u32),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        "[a-z]{1,4}".prop_map(Piece::Text),
        "[a-zé *]{1,4}".prop_map(Piece::Any),
        any::<u32>().prop_map(Piece::Number),
    ]
}

proptest! {
    #[test]
    fn finds_generated_topics(
        routes in prop::collection::vec(prop::collection::vec((piece(), "[/.:-]"), 1..5), 1..6),
    ) {
        let mut yaml = String::new();
        let mut values = Vec::new();
        for (number, pieces) in routes.iter().enumerate() {
            // A first segment of its own keeps the routes apart.
            let mut channel = format!("r{number}");
            let mut params = Vec::new();
            for (index, (piece, separator)) in pieces.iter().enumerate() {
                channel.push_str(separator);
                match piece {
                    Piece::Text(text) => channel.push_str(text),
                    Piece::Any(value) => {
                        channel.push_str(&format!("{{v{index}}}"));
                        params.push((format!("v{index}"), value.clone()));
                    }
                    Piece::Number(value) => {
                        channel.push_str(&format!("{{v{index}<\\d+>}}"));
                        params.push((format!("v{index}"), value.to_string()));
                    }
                }
            }
            yaml.push_str(&format!("n{number}: {{ channel: '{channel}', handler: h }}\n"));
            values.push(params);
        }
        let table = table(&yaml);
        for (number, params) in values.iter().enumerate() {
            let params: Vec<(&str, &str)> =
                params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let topic = table.routes()[number].generate(&params).unwrap();
            let found = table.find(&topic).unwrap();
            prop_assert_eq!(found.index, number);
            prop_assert_eq!(found.attributes, params);
        }
    }

    /// The index is only a short cut: it names the route that asking each in order would.
    #[test]
    fn the_index_agrees_with_linear_search(
        channels in prop::collection::vec(
            prop::sample::select(vec![
                "a/{x}", "{x}/b", "{x<.+>}", "a/{x}/{y?}", "a/{x}/{y?1}", "a/b{x}", "{x}b/a", "a-{x?}", "{x?}",
                "a/{x<\\d*>}", "{x<a|\\*>}/{y}", "a/{x}/b", "a{x<.+>}", "a/{x<.*>?1}", "{x}{y?}",
            ]),
            1..8,
        ),
        topic in "(a|b|/|-|7|\\*){0,6}",
    ) {
        let yaml: String = channels
            .iter()
            .enumerate()
            .map(|(number, channel)| format!("r{number}: {{ channel: '{channel}', handler: h }}\n"))
            .collect();
        let table = table(&yaml);
        let asked = table.routes().iter().position(|route| route.matches(&topic));
        prop_assert_eq!(table.find(&topic).map(|found| found.index), asked);
        // A route of which a warning says so is never reached.
        for warning in table.warnings() {
            let dead = warning.message.strip_prefix("no topic reaches route `r");
            let dead = dead.and_then(|rest| rest.split('`').next());
            prop_assert!(dead.is_none_or(|dead| asked.is_none_or(|it| it.to_string() != dead)));
        }
    }

    /// No text makes the loader panic, and every problem has a place within the text.
    #[test]
    fn arbitrary_text_never_panics(text in "[a-z{}<>:?\\[\\]'\"&*!~|,\n \t-]{0,80}") {
        if let Err(problems) = crate::try_table(&text) {
            for problem in problems {
                prop_assert!(problem.line >= 1 && problem.line <= text.split('\n').count() + 1);
                prop_assert!(problem.help.is_some());
                prop_assert!(!problem.to_string().is_empty());
            }
        }
    }
}

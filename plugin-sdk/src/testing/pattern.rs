//! Channel matching for tests: a variable matches everything up to the next literal character or
//! `/`. Requirements are not checked.

/// The attributes of the topic, if the channel matches it.
pub(crate) fn attributes(channel: &str, topic: &str) -> Option<Vec<(String, String)>> {
    let mut attributes = Vec::new();
    let mut channel = channel;
    let mut topic = topic;
    while let Some((literal, rest)) = channel.split_once('{') {
        let (name, rest) = rest.split_once('}')?;
        topic = topic.strip_prefix(literal)?;
        let stop = rest.chars().next().unwrap_or('/');
        let end = topic.find([stop, '/']).unwrap_or(topic.len());
        let (value, left) = topic.split_at_checked(end)?;
        if value.is_empty() {
            return None;
        }
        attributes.push((name.to_owned(), value.to_owned()));
        (channel, topic) = (rest, left);
    }
    (channel == topic).then_some(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(channel: &str, topic: &str, expect: Option<&[(&str, &str)]>) {
        let expect = expect.map(|pairs| {
            pairs.iter().map(|pair| (pair.0.to_owned(), pair.1.to_owned())).collect::<Vec<_>>()
        });
        assert_eq!(attributes(channel, topic), expect, "{topic} against {channel}");
    }

    #[test]
    fn captures_attributes_of_topics() {
        check("a/b", "a/b", Some(&[]));
        check("a/b", "a/b/", None);
        check("a/{x}", "a/1", Some(&[("x", "1")]));
        check("a/{x}", "a/", None);
        check("a/{x}", "a/1/2", None);
        check("a/{x}/c/{y}", "a/1/c/2", Some(&[("x", "1"), ("y", "2")]));
        check("a/{x}-{y}", "a/1-2", Some(&[("x", "1"), ("y", "2")]));
        check("a/{x}/c", "b/1/c", None);
    }
}

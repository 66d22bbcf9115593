//! Routes that name the plugin's handlers, as `configure` receives them.

use serde::de::DeserializeOwned;

use crate::{Error, error::reason};

/// One entry of a routing file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(crate) handler: String,
    pub(crate) name: String,
    pub(crate) channel: String,
    pub(crate) args: String,
}

impl Route {
    /// The name of the handler.
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// The name of the route, unique in the site.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The channel pattern, such as `acme/chat/{room}`.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Reads `handler.args`. Missing args read as an empty map, unless `T` accepts `null`
    /// (`Option`, `()`).
    ///
    /// # Errors
    ///
    /// [`Error::Route`] with a message for the operator, if they have another shape.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let args = serde_json::from_str(&self.args);
        let args =
            if self.args == "null" { args.or_else(|_| serde_json::from_str("{}")) } else { args };
        args.map_err(|error| Error::Route(format!("handler.args: {}", reason(&error))))
    }

    /// `handler.args` as the text of a JSON value, `null` without any.
    pub fn args_json(&self) -> &str {
        &self.args
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Args {
        history: u32,
    }

    #[track_caller]
    fn check<T: DeserializeOwned + std::fmt::Debug + PartialEq>(
        args: &str,
        expect: Result<T, &str>,
    ) {
        let [handler, name, channel] = ["h", "r", "c"].map(String::from);
        let route = Route { handler, name, channel, args: args.to_owned() };
        assert_eq!(
            route.args::<T>().map_err(|error| error.to_string()),
            expect.map_err(Into::into)
        );
    }

    #[test]
    fn reads_typed_args() {
        check(r#"{"history":3}"#, Ok(Args { history: 3 }));
        check("{}", Err::<Args, _>("handler.args: missing field `history`"));
        check("null", Err::<Args, _>("handler.args: missing field `history`"));
        check("null", Ok(None::<Args>));
        check("null", Ok(()));
        check(
            r#"{"histroy":3}"#,
            Err::<Args, _>("handler.args: unknown field `histroy`, expected `history`"),
        );
        check(
            r#"{"history":"3"}"#,
            Err::<Args, _>("handler.args: invalid type: string \"3\", expected u32"),
        );
    }
}

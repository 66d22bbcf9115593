//! Declarations of clients: `client NAME [v1] [user NAME] [roles A,B] [claims {…}] [realm NAME]
//! [raw]`.

use super::{KEYWORDS, MAX_CLIENTS, Parser, SyntaxError, Use, Value, Version, is_name, suggest};
use crate::dialogue::script::Declaration;

const WORDS: &[&str] = &["v1", "v2", "user", "roles", "claims", "realm", "raw"];

impl Parser<'_> {
    /// Reads the rest of a line that begins with `client`.
    pub(super) fn declaration(&mut self) -> Result<Declaration, SyntaxError> {
        let (name, range) = self.cursor.word();
        if !is_name(name) || KEYWORDS.contains(&name) {
            let message = if name.is_empty() { "the name is missing" } else { "invalid name" };
            let help = "names begin with a letter, and have letters, digits, `_` and `-`: \
                        `client ann`";
            return Err(SyntaxError::new(range, message).with_help(help));
        }
        let mut client = Declaration::anonymous(name);
        loop {
            self.cursor.skip_blanks();
            if self.cursor.is_line_end() {
                break;
            }
            self.word_of(&mut client)?;
        }
        if client.user.is_none() && (!client.roles.is_empty() || client.claims.is_some()) {
            let error = SyntaxError::new(range, "roles and claims belong to a user");
            return Err(error.with_help(format!("`client {name} user {name} roles member`")));
        }
        if client.version == Version::V1 && client.realm.is_some() {
            let error = SyntaxError::new(range, "WAMP v1 has no realms");
            return Err(error.with_help("its clients are in the first realm of the settings"));
        }
        self.clients.insert(name.to_owned(), client.version);
        if self.clients.len() > MAX_CLIENTS {
            let message = format!("a script has at most {MAX_CLIENTS} clients");
            return Err(SyntaxError::new(range, message));
        }
        // The name of a client is also the variable of its session.
        self.variables.insert(name.to_owned());
        Ok(client)
    }

    fn word_of(&mut self, client: &mut Declaration) -> Result<(), SyntaxError> {
        let (word, range) = self.cursor.word();
        self.cursor.skip_blanks();
        match word {
            "v1" => client.version = Version::V1,
            "v2" => client.version = Version::V2,
            "raw" => client.is_raw = true,
            "user" => client.user = Some(self.text("user")?),
            "realm" => client.realm = Some(self.text("realm")?),
            "roles" => client.roles = self.roles()?,
            "claims" => {
                let start = self.cursor.offset();
                let claims = self.cursor.value(Use::Message)?;
                if !matches!(claims, Value::Map { .. }) {
                    let range = start..self.cursor.offset();
                    return Err(SyntaxError::new(range, "claims are a dictionary"));
                }
                client.claims = Some(claims);
            }
            _ => {
                let error = SyntaxError::new(range, format!("unknown word `{word}`"));
                return Err(error.with_help(suggest::advice(word, WORDS)));
            }
        }
        Ok(())
    }

    /// Reads a word, or a text in quotes.
    fn text(&mut self, of: &str) -> Result<String, SyntaxError> {
        if self.cursor.peek() == Some('"') {
            return self.cursor.string();
        }
        let (word, range) = self.cursor.word();
        if word.is_empty() {
            return Err(SyntaxError::new(range, format!("a name is missing after `{of}`")));
        }
        Ok(word.to_owned())
    }

    /// Reads `a,b` or `["a", "b"]`.
    fn roles(&mut self) -> Result<Vec<String>, SyntaxError> {
        if self.cursor.peek() != Some('[') {
            let roles = self.text("roles")?;
            return Ok(roles.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect());
        }
        let start = self.cursor.offset();
        let list = self.cursor.value(Use::Message)?;
        let roles = list.items().iter().map(|role| role.as_text().map(str::to_owned));
        roles.collect::<Option<_>>().ok_or_else(|| {
            SyntaxError::new(start..self.cursor.offset(), "roles are a list of texts")
        })
    }
}

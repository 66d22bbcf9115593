//! Access lists of a route: the `allow` key. The host enforces them.

/// An action that a route can restrict to roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Subscribe to the topic.
    Subscribe,
    /// Publish to the topic.
    Publish,
    /// Call the procedure.
    Call,
    /// Register the procedure.
    Register,
}

/// The roles allowed for each action. An unlisted action is open to all roles; an empty list is
/// open to none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    pub(crate) subscribe: Option<Vec<String>>,
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) call: Option<Vec<String>>,
    pub(crate) register: Option<Vec<String>>,
}

impl Action {
    /// Every action, in the order in which the documentation lists them.
    pub const ALL: [Self; 4] = [Self::Subscribe, Self::Publish, Self::Call, Self::Register];

    /// Returns the key under `allow`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Call => "call",
            Self::Register => "register",
        }
    }
}

impl Allow {
    /// No list: every action is open to all roles.
    pub const NONE: Self = Self { subscribe: None, publish: None, call: None, register: None };

    /// Returns the roles listed for an action; `None` if it is open to all.
    pub fn roles(&self, action: Action) -> Option<&[String]> {
        match action {
            Action::Subscribe => self.subscribe.as_deref(),
            Action::Publish => self.publish.as_deref(),
            Action::Call => self.call.as_deref(),
            Action::Register => self.register.as_deref(),
        }
    }

    /// Returns the roles listed for an action, here or else in `default`; `None` if it is open to
    /// all.
    pub fn roles_or<'a>(&'a self, default: &'a Self, action: Action) -> Option<&'a [String]> {
        self.roles(action).or_else(|| default.roles(action))
    }

    /// Returns whether a session with these roles is allowed `action`.
    pub fn permits<'a>(&self, action: Action, roles: impl IntoIterator<Item = &'a str>) -> bool {
        match self.roles(action) {
            None => true,
            Some(listed) => roles.into_iter().any(|role| listed.iter().any(|l| l == role)),
        }
    }

    /// Sets the roles of an action.
    pub fn set(&mut self, action: Action, roles: Vec<String>) {
        match action {
            Action::Subscribe => self.subscribe = Some(roles),
            Action::Publish => self.publish = Some(roles),
            Action::Call => self.call = Some(roles),
            Action::Register => self.register = Some(roles),
        }
    }
}

//! A value that is asked for when it is first read.

use std::{fmt, sync::OnceLock};

/// A value of the current call, or one that is there already.
pub(crate) struct Lazy<T> {
    value: OnceLock<T>,
    ask: fn() -> T,
}

impl<T> Lazy<T> {
    pub(crate) fn get(&self) -> &T {
        self.value.get_or_init(self.ask)
    }
}

/// Tests have all values.
#[cfg(target_family = "wasm")]
impl<T> Lazy<T> {
    /// A value that the function returns. It is called once at most, and has to be called during
    /// the hook that the value belongs to.
    pub(crate) const fn new(ask: fn() -> T) -> Self {
        Self { value: OnceLock::new(), ask }
    }

    /// The value itself.
    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner().unwrap_or_else(self.ask)
    }
}

impl<T: Default> From<T> for Lazy<T> {
    fn from(value: T) -> Self {
        Self { value: OnceLock::from(value), ask: T::default }
    }
}

/// The copy may outlive the call, so that it has its value.
impl<T: Clone + Default> Clone for Lazy<T> {
    fn clone(&self) -> Self {
        Self::from(self.get().clone())
    }
}

impl<T: PartialEq> PartialEq for Lazy<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for Lazy<T> {}

impl<T: fmt::Debug> fmt::Debug for Lazy<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn asks_once_and_only_when_it_is_read() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let lazy = Lazy { value: OnceLock::new(), ask: || ASKED.fetch_add(1, Ordering::Relaxed) };
        assert_eq!(ASKED.load(Ordering::Relaxed), 0);
        assert_eq!((*lazy.get(), *lazy.get()), (0, 0));
        let copy = lazy.clone();
        assert_eq!((*lazy.get(), *copy.get()), (0, 0));
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        assert_eq!(*Lazy::from(7).get(), 7);
    }
}

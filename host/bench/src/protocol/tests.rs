//! The messages, as both sides of a connection see them.

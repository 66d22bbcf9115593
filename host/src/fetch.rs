//! HTTP client for requests of plugins: one connection a request, to an address that was checked.
//!
//! [`address`] says which addresses a name may lead to; [`resolver`] looks names up; [`client`]
//! connects, sends and reads. No redirect is followed: it is an answer, and the plugin's next
//! request is checked again. Used by `dispatch::outgoing`.

mod address;
mod client;
mod resolver;

pub(crate) use client::HttpClient;

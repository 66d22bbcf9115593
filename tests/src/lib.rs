//! Library for the tests (`it`) and the measurements (`tools`): WAMP clients of both versions
//! (`client`) and of other libraries (`peer`), the real server in a process of its own (`server`),
//! sites in temporary directories (`site`), database servers (`database`), Debian's packages
//! (`packages`), and the builds of all of them (`build`). It uses no crate of the product.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops here and says where; names say what helpers do"
)]

pub mod build;
pub mod client;
pub mod database;
pub mod heavy_component;
pub mod packages;
pub mod peer;
pub mod server;
pub mod site;

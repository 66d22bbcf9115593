//! Bindings of the exports for decisions about access, which only [`crate::export_access!`] exports.

#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::indexing_slicing,
    clippy::allow_attributes_without_reason,
    reason = "generated: the ABI of components is pointers and lengths"
)]

wit_bindgen::generate!({
    path: "wit/0.2",
    world: "access",
    with: { "jackfield:plugin/types@0.2.0": crate::component::bindings::jackfield::plugin::types },
    export_macro_name: "export_access_component",
    pub_export_macro: true,
    default_bindings_module: "jackfield_plugin::component::access_bindings",
});

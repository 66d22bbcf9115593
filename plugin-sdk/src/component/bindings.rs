//! Bindings generated from the contract by wit-bindgen: the only generated code, and the only
//! unsafe code, of the crate. Only `component` uses them.

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
    world: "plugin-with-effects",
    export_macro_name: "export_component",
    pub_export_macro: true,
    default_bindings_module: "jackfield_plugin::component::bindings",
});

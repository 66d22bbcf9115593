//! The macros that make a crate a component.

/// Exports the [`Plugin`](crate::Plugin) that the given function returns, which makes the crate a
/// component. Use it once in a crate of type `cdylib`. Native builds ignore it.
///
/// ```
/// use jackfield_plugin::{Handler, Plugin, export};
///
/// fn plugin() -> Plugin {
///     Plugin::new("acme", "1.0.0").handler(Handler::new("acme.broadcast"))
/// }
///
/// export!(plugin);
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:path) => {
        const _: fn() -> $crate::Plugin = $plugin;

        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::component_of!($plugin, false);
            $crate::component::bindings::export_component!(Component);
        };
    };
}

/// As [`export!`](crate::export!), for a plugin with handlers that decide about
/// [access](crate::access). A server without such decisions does not load the component.
///
/// ```
/// use jackfield_plugin::{Handler, Plugin, access::Authorize, export_access};
///
/// fn plugin() -> Plugin {
///     Plugin::new("acme", "1.0.0").handler(
///         Handler::new("acme.access").on_authorize(|_state, _request, _attempt| Authorize::allow()),
///     )
/// }
///
/// export_access!(plugin);
/// ```
#[macro_export]
macro_rules! export_access {
    ($plugin:path) => {
        const _: fn() -> $crate::Plugin = $plugin;

        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::component_of!($plugin, true);
            $crate::component::bindings::export_component!(Component);
            $crate::component::access_bindings::export_access_component!(Component);
        };
    };
}

/// The type of the component, for both macros.
#[doc(hidden)]
#[macro_export]
macro_rules! component_of {
    ($plugin:path, $exports_access:literal) => {
        struct Component;

        impl $crate::component::Source for Component {
            const EXPORTS_ACCESS: bool = $exports_access;

            fn plugin() -> $crate::Plugin {
                $plugin()
            }
        }
    };
}

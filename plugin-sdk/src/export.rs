//! The macro that makes a crate a component.

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
            struct Component;

            impl $crate::component::Source for Component {
                fn plugin() -> $crate::Plugin {
                    $plugin()
                }
            }

            $crate::component::bindings::export_component!(Component);
        };
    };
}

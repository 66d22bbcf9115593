//! The macro that turns a crate into a component, and nothing else.

/// Makes the crate a component that offers the [`Plugin`](crate::Plugin) which this function
/// returns. Once a crate, which has to be a `cdylib`. Natively it does nothing.
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

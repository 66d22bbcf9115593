//! Version 0.2 of the contract. Hooks get the number of their route, and ask for everything else.

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit/0.2",
    world: "plugin",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
    exports: { default: async },
});

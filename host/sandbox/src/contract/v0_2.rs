//! Version 0.2 of the contract. Hooks get the number of their route, and ask for everything else.

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit/0.2",
    world: "plugin",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
    exports: { default: async },
});

/// Effects with an answer: imports and an export that plugins of this version may leave out.
pub(crate) mod effects {
    wasmtime::component::bindgen!({
        path: "../../plugin-sdk/wit/0.2",
        world: "effects",
        with: { "jackfield:plugin/types": super::jackfield::plugin::types },
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// Decisions about access: exports that plugins of this version may leave out.
pub(crate) mod access {
    wasmtime::component::bindgen!({
        path: "../../plugin-sdk/wit/0.2",
        world: "access",
        with: { "jackfield:plugin/types": super::jackfield::plugin::types },
        imports: { default: trappable },
        exports: { default: async },
    });
}

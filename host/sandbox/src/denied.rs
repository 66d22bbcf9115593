//! Denied interfaces: sockets and HTTP can be imported, and always refuse.
//!
//! Toolchains of scripting languages import them whether a program uses them or not. They are
//! linked for each component, by its own types, to functions that refuse; none can open anything. A
//! function that can return an error returns one, so that a program can catch it (`OSError` in
//! Python, a rejected `fetch` in JavaScript); one that returns a resource returns an empty one; any
//! other is a fault of the plugin.

use wasmtime::component::types::{self, ComponentItem, Type};
use wasmtime::component::{
    Component, Linker, LinkerInstance, Resource, ResourceAny, ResourceType, Val,
};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

use crate::fault::FaultKind;
use crate::host_state::{HostState, HostTrap};

/// The denied packages, with all their interfaces of WASI 0.2.
const PACKAGES: &[&str] = &["wasi:http/", "wasi:sockets/"];

/// Error cases that mean "not allowed", the best first: of `wasi:sockets/network.error-code`,
/// `wasi:http/types.error-code` and `header-error`.
const REFUSALS: &[&str] = &["access-denied", "HTTP-request-denied", "forbidden"];

/// A resource of a denied interface, in the instance's bounded table.
struct Denied;

/// Whether an import belongs to a denied package.
pub(crate) fn is_denied(import: &str) -> bool {
    PACKAGES.iter().any(|package| import.starts_with(package))
}

/// Links the denied interfaces that a component imports.
pub(crate) fn link(
    linker: &mut Linker<HostState>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    let ty = component.component_type();
    let interfaces = || {
        ty.imports(engine).filter_map(|(import, item)| match item.ty {
            ComponentItem::ComponentInstance(interface) => Some((import, interface)),
            _ => None,
        })
    };
    // Denied interfaces use resources of `wasi:io`, which are linked normally.
    let given: Vec<ResourceType> = interfaces()
        .filter(|(import, _)| !is_denied(import))
        .flat_map(|(_, interface)| {
            let exports = interface.exports(engine);
            exports.filter_map(|(_, item)| resource(&item.ty)).collect::<Vec<_>>()
        })
        .collect();
    for (import, interface) in interfaces().filter(|(import, _)| is_denied(import)) {
        let mut instance = linker.instance(import)?;
        for (name, item) in interface.exports(engine) {
            match &item.ty {
                ComponentItem::Resource(ty) if given.contains(ty) => {}
                ComponentItem::Resource(_) => define_resource(&mut instance, name)?,
                ComponentItem::ComponentFunc(_) => {
                    let call = format!("{import} `{name}`");
                    instance.func_new(name, move |store, ty, params, results| {
                        refuse(store, &call, &ty, params, results)
                    })?;
                }
                // Plain types have no definition.
                _ => {}
            }
        }
    }
    Ok(())
}

fn resource(item: &ComponentItem) -> Option<ResourceType> {
    match item {
        ComponentItem::Resource(ty) => Some(*ty),
        _ => None,
    }
}

fn define_resource(
    instance: &mut LinkerInstance<'_, HostState>,
    name: &str,
) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<Denied>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<Denied>::new_own(rep))?;
        Ok(())
    })
}

fn refuse(
    mut store: StoreContextMut<'_, HostState>,
    call: &str,
    ty: &types::ComponentFunc,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    params.iter().try_for_each(|param| give_back(&mut store, param))?;
    for (result, ty) in results.iter_mut().zip(ty.results()) {
        *result = match refusal(&ty) {
            Some(value) => value,
            None if matches!(ty, Type::Own(_)) => Val::Resource(empty(&mut store)?),
            None => return Err(HostTrap(FaultKind::Denied(call.to_owned())).into()),
        };
    }
    Ok(())
}

/// The refusing value of a type.
fn refusal(ty: &Type) -> Option<Val> {
    match ty {
        Type::Result(result) => {
            let error = match result.err() {
                Some(error) => Some(Box::new(error_value(&error)?)),
                None => None,
            };
            Some(Val::Result(Err(error)))
        }
        Type::Option(_) => Some(Val::Option(None)),
        Type::List(_) => Some(Val::List(Vec::new())),
        Type::Bool => Some(Val::Bool(false)),
        _ => None,
    }
}

/// The error case that means "not allowed"; otherwise the first case.
fn error_value(ty: &Type) -> Option<Val> {
    match ty {
        Type::Enum(cases) => {
            let names: Vec<&str> = cases.names().collect();
            let refusal = REFUSALS.iter().find(|refusal| names.contains(refusal));
            let name = refusal.copied().or(names.first().copied())?;
            Some(Val::Enum(name.to_owned()))
        }
        Type::Variant(variant) => {
            let is_empty =
                |name: &str| variant.cases().any(|case| case.name == name && case.ty.is_none());
            let name = REFUSALS.iter().find(|refusal| is_empty(refusal))?;
            Some(Val::Variant((*name).to_owned(), None))
        }
        _ => refusal(ty),
    }
}

fn empty(store: &mut StoreContextMut<'_, HostState>) -> wasmtime::Result<ResourceAny> {
    let resource = store.data_mut().ctx().table.push(Denied)?;
    resource.try_into_resource_any(store)
}

/// Drops borrowed and owned parameters: the engine requires the former, and the latter would stay
/// in the instance's table.
fn give_back(store: &mut StoreContextMut<'_, HostState>, value: &Val) -> wasmtime::Result<()> {
    match value {
        Val::Resource(resource) => {
            let _known = end::<Denied>(store, *resource)?
                || end::<DynPollable>(store, *resource)?
                || end::<DynInputStream>(store, *resource)?
                || end::<DynOutputStream>(store, *resource)?
                || end::<wasmtime::Error>(store, *resource)?;
            Ok(())
        }
        Val::List(values) | Val::Tuple(values) => {
            values.iter().try_for_each(|value| give_back(store, value))
        }
        Val::Record(fields) => fields.iter().try_for_each(|(_, value)| give_back(store, value)),
        Val::Option(Some(value))
        | Val::Variant(_, Some(value))
        | Val::Result(Ok(Some(value)) | Err(Some(value))) => give_back(store, value),
        _ => Ok(()),
    }
}

/// Drops a resource if it has the type. Returns whether it has.
fn end<T: Send + 'static>(
    store: &mut StoreContextMut<'_, HostState>,
    resource: ResourceAny,
) -> wasmtime::Result<bool> {
    if resource.ty() != ResourceType::host::<T>() {
        return Ok(false);
    }
    let is_owned = resource.owned();
    let resource = Resource::<T>::try_from_resource_any(resource, &mut *store)?;
    if is_owned {
        store.data_mut().ctx().table.delete(resource)?;
    }
    Ok(true)
}

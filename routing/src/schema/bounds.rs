//! Bounds of an evaluation, from the graph of subschemas, before there is a payload.
//!
//! A recursive schema with two alternatives that both descend evaluates a value twice at each level,
//! 2^32 times at the last one. Such a schema is refused when it is loaded: the maximum number of
//! evaluations of one value, at the worst level, is computed here.

use super::MAX_LEVELS;
use super::keywords::Applies;

/// Maximum evaluations of one value. Ordinary schemas have fewer than twenty.
pub(super) const MAX_PER_VALUE: u64 = 256;
/// Maximum nested evaluations, which are frames of the stack.
const MAX_NESTED: u64 = 400;

/// A subschema: its cost without those in it, and its subschemas with the values to which they apply.
#[derive(Debug, Default)]
pub(super) struct Subschema {
    pub(super) weight: u64,
    pub(super) inner: Vec<(Applies, usize)>,
}

/// The reason why a schema may not be evaluated, and the subschema at which it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unbounded {
    /// It applies itself to the same value.
    Circle(usize),
    /// One value is evaluated too often.
    Often(u64),
    /// Evaluations nest too deep.
    Deep(u64),
}

/// The cost of a subschema at one level below it.
#[derive(Clone, Copy, Default)]
struct Cost {
    evaluations: u64,
    nested: u64,
}

/// Returns the maximum number of evaluations of one value.
pub(super) fn per_value(all: &[Subschema], root: usize) -> Result<u64, Unbounded> {
    let order = innermost_first(all, root)?;
    let mut below = vec![Cost::default(); all.len()];
    let (mut most, mut nested) = (0, 0);
    for level in 0..=MAX_LEVELS {
        let mut here = vec![Cost::default(); all.len()];
        for &number in &order {
            let Some(subschema) = all.get(number) else { continue };
            let cost = cost(subschema, level, &here, &below);
            if let Some(place) = here.get_mut(number) {
                *place = cost;
            }
        }
        let of_root = here.get(root).copied().unwrap_or_default();
        most = most.max(of_root.evaluations);
        nested = of_root.nested;
        below = here;
    }
    if most > MAX_PER_VALUE {
        return Err(Unbounded::Often(most));
    }
    if nested > MAX_NESTED {
        return Err(Unbounded::Deep(nested));
    }
    Ok(most)
}

/// Adds what applies to the same value, and takes the larger one of what excludes each other.
fn cost(subschema: &Subschema, level: usize, here: &[Cost], below: &[Cost]) -> Cost {
    let (mut sum, mut properties, mut patterns, mut additional) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut prefix, mut items, mut each, mut nested) = (0_u64, 0_u64, 0_u64, 0_u64);
    for &(applies, number) in &subschema.inner {
        let of = |costs: &[Cost]| costs.get(number).copied().unwrap_or_default();
        let it = match applies {
            Applies::Here => of(here),
            Applies::Nothing => continue,
            _ => of(below),
        };
        nested = nested.max(it.nested);
        let count = it.evaluations;
        match applies {
            Applies::Here => sum = sum.saturating_add(count),
            Applies::Property => properties = properties.max(count),
            Applies::Pattern => patterns = patterns.saturating_add(count),
            Applies::Additional => additional = additional.max(count),
            Applies::Prefix => prefix = prefix.max(count),
            Applies::Items => items = items.max(count),
            Applies::Name | Applies::Each => each = each.saturating_add(count),
            Applies::Nothing => {}
        }
    }
    let member = properties.saturating_add(patterns).max(additional);
    let inner = member.max(prefix.max(items)).saturating_add(each);
    let own = if level == 0 { subschema.weight } else { 0 };
    let evaluations = own.saturating_add(sum).saturating_add(inner);
    Cost { evaluations, nested: nested.saturating_add(1) }
}

/// Returns the subschemas that are reached, each behind those that apply to the same value.
fn innermost_first(all: &[Subschema], root: usize) -> Result<Vec<usize>, Unbounded> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; all.len()];
    let (mut order, mut waiting) = (Vec::new(), vec![root]);
    while let Some(start) = waiting.pop() {
        // The second number is that of the next inner subschema to look at.
        let mut path = vec![(start, 0)];
        while let Some((number, next)) = path.last_mut() {
            let number = *number;
            let (Some(subschema), Some(state)) = (all.get(number), states.get_mut(number)) else {
                path.pop();
                continue;
            };
            if *state == State::Done {
                path.pop();
                continue;
            }
            *state = State::Open;
            let Some(&(applies, inner)) = subschema.inner.get(*next) else {
                *state = State::Done;
                order.push(number);
                path.pop();
                continue;
            };
            *next += 1;
            match (applies, states.get(inner)) {
                (Applies::Here, Some(State::Open)) => return Err(Unbounded::Circle(inner)),
                (Applies::Here, Some(State::New)) => path.push((inner, 0)),
                (Applies::Here | Applies::Nothing, _) | (_, Some(State::Done | State::Open)) => {}
                (_, _) => waiting.push(inner),
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Subschemas of weight 1, each with its inner ones.
    fn check(inner: &[&[(Applies, usize)]], expected: &Result<u64, Unbounded>) {
        let all: Vec<Subschema> =
            inner.iter().map(|inner| Subschema { weight: 1, inner: inner.to_vec() }).collect();
        assert_eq!(&per_value(&all, 0), expected, "{inner:?}");
    }

    #[test]
    fn counts_evaluations_of_one_value() {
        use Applies::{Additional, Each, Here, Items, Pattern, Prefix, Property};
        check(&[&[]], &Ok(1));
        check(&[&[(Here, 1), (Here, 2)], &[], &[]], &Ok(3));
        check(&[&[(Property, 1), (Property, 2)], &[], &[(Here, 1)]], &Ok(2));
        check(&[&[(Property, 1), (Pattern, 1), (Pattern, 1)], &[]], &Ok(3));
        check(&[&[(Property, 1), (Additional, 1)], &[]], &Ok(1));
        check(&[&[(Prefix, 1), (Items, 1), (Each, 1)], &[]], &Ok(2));
        // A tree: one evaluation at each level.
        check(&[&[(Items, 0)]], &Ok(1));
        check(&[&[(Here, 1), (Here, 2)], &[], &[(Items, 0)]], &Ok(3));
    }

    #[test]
    fn refuses_what_grows_with_each_level() {
        use Applies::{Here, Items, Property};
        check(&[&[(Here, 0)]], &Err(Unbounded::Circle(0)));
        check(&[&[(Here, 1)], &[(Here, 2)], &[(Here, 1)]], &Err(Unbounded::Circle(1)));
        let doubled = &[&[(Here, 1), (Here, 2)][..], &[(Items, 0)], &[(Items, 0)]];
        let all: Vec<Subschema> =
            doubled.iter().map(|it| Subschema { weight: 1, inner: it.to_vec() }).collect();
        assert!(matches!(per_value(&all, 0), Err(Unbounded::Often(count)) if count > 1 << 32));
        // Each level through another subschema.
        let mut chain: Vec<Subschema> =
            (0..500).map(|it| Subschema { weight: 0, inner: vec![(Here, it + 1)] }).collect();
        chain.push(Subschema { weight: 1, inner: vec![(Property, 0)] });
        assert!(matches!(per_value(&chain, 0), Err(Unbounded::Deep(_))));
    }
}

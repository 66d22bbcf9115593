//! Labels: enums whose values have a number, the index of a counter, and a name.
//! [`label!`](crate::label!) defines one; [`Grid`] counts by two of them.

use std::marker::PhantomData;

use crate::sharded::Counters;

/// The values of a label.
pub trait Label: Copy + 'static {
    /// All values, in the order of their numbers.
    const VALUES: &'static [Self];

    /// The number of this value.
    fn index(self) -> usize;
}

/// Defines a label: an enum with `COUNT`, `ALL` in the order of the numbers, and the name of each
/// value.
///
/// ```
/// jackfield_metrics::label! {
///     /// The fate of a request.
///     pub(crate) Fate { Accepted = "accepted", /** It was wrong. */ Refused = "refused", }
/// }
/// assert_eq!(Fate::ALL.map(Fate::label), ["accepted", "refused"]);
/// ```
#[macro_export]
macro_rules! label {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$value_doc:meta])* $value:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $name {
            $($(#[$value_doc])* $value,)*
        }

        impl $name {
            /// The number of values.
            $vis const COUNT: usize = [$(Self::$value,)*].len();
            /// All values, in the order of their numbers.
            $vis const ALL: [Self; Self::COUNT] = [$(Self::$value,)*];

            /// Returns the name of the value.
            $vis const fn label(self) -> &'static str {
                match self {
                    $(Self::$value => $label,)*
                }
            }
        }

        impl $crate::Label for $name {
            const VALUES: &'static [Self] = &Self::ALL;

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// Counters by two labels. `N` is the product of the numbers of their values.
#[derive(Debug)]
pub struct Grid<A, B, const N: usize> {
    counters: Counters<N>,
    labels: PhantomData<fn(A, B)>,
}

impl<A: Label, B: Label, const N: usize> Grid<A, B, N> {
    const IS_COMPLETE: () = assert!(N == A::VALUES.len() * B::VALUES.len(), "N is the product");

    /// Adds to the counter of two values.
    pub fn add(&self, one: A, other: B, count: u64) {
        self.counters.add(one.index() * B::VALUES.len() + other.index(), count);
    }

    /// Returns the sums of all threads, for each pair of values.
    pub fn sums(&self) -> impl Iterator<Item = (A, B, u64)> {
        let pairs =
            A::VALUES.iter().flat_map(|one| B::VALUES.iter().map(move |other| (*one, *other)));
        pairs.zip(self.counters.sums()).map(|((one, other), count)| (one, other, count))
    }
}

impl<A: Label, B: Label, const N: usize> Default for Grid<A, B, N> {
    fn default() -> Self {
        // Fails to compile for another number.
        let () = Self::IS_COMPLETE;
        Self { counters: Counters::default(), labels: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    label! {
        Column { One = "one", Two = "two", Three = "three", }
    }

    label! {
        Row { First = "first", Second = "second", }
    }

    #[test]
    fn counts_each_pair_by_itself() {
        let grid = Grid::<Column, Row, 6>::default();
        let pairs = || Column::ALL.into_iter().flat_map(|one| Row::ALL.map(|other| (one, other)));
        for (count, (one, other)) in (1..).zip(pairs()) {
            grid.add(one, other, count);
        }
        let expect: Vec<_> =
            (1..).zip(pairs()).map(|(count, (one, other))| (one, other, count)).collect();
        assert_eq!(grid.sums().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn labels_have_the_order_of_their_numbers() {
        for (number, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!(column.index(), number);
        }
        assert_eq!(Column::ALL.map(Column::label), ["one", "two", "three"]);
        assert_eq!(Row::ALL.map(Row::label), ["first", "second"]);
    }
}

//! Coverage: whether one requirement admits every value of another. Only simple cases are decided;
//! `false` means "not known".

use regex_syntax::hir::{Class, HirKind};

use super::{CharacterSet, Check, Requirement};

impl Requirement {
    /// Returns whether every value of `other` is certainly a value of this requirement.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        if self.hir == other.hir {
            return true;
        }
        match (&self.check, &other.check) {
            (
                Check::Characters { set, star },
                Check::Characters { set: other_set, star: other_star },
            ) => set.is_superset(*other_set) && (!other_star || *star || set.contains(b'*')),
            (Check::Characters { set, .. }, Check::Regex(_)) => {
                set.is_all_but_slash() && other.is_one_segment()
            }
            (Check::Regex(_), _) => false,
        }
    }

    /// Returns whether this is any text: `.+` or `.*`.
    pub(crate) fn is_anything(&self) -> bool {
        let HirKind::Repetition(repetition) = self.hir.kind() else { return false };
        let HirKind::Class(Class::Unicode(class)) = repetition.sub.kind() else { return false };
        let all =
            matches!(class.ranges(), [range] if range.start() == '\0' && range.end() == char::MAX);
        all && repetition.min <= 1 && repetition.max.is_none()
    }
}

impl CharacterSet {
    const fn is_superset(self, other: Self) -> bool {
        self.ascii & other.ascii == other.ascii && (self.others || !other.others)
    }

    fn is_all_but_slash(self) -> bool {
        self.is_superset(Self::all_but(['/'; 2]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_whether_requirements_cover_others() {
        let check = |wide: &str, narrow: &str, expect: bool| {
            let of = |pattern: &str| {
                Requirement::new(pattern, false, &mut crate::requirement::Budget::default())
                    .unwrap()
            };
            assert_eq!(of(wide).covers(&of(narrow)), expect, "{wide} {narrow}");
        };
        check("\\d+", "\\d+", true);
        check("\\d+", "[0-5]+", true);
        check("[0-5]+", "\\d+", false);
        check("\\d+|\\*", "\\d+", true);
        check("\\d+", "\\d+|\\*", false);
        check("[^/]+", "\\d+|\\*", true);
        check("[^/]+", "send|edit", true);
        check("[^/]+", "a/b|c", false);
        check("[^/]+", ".+", false);
        check("send|edit", "send|edit", true);
        check("send|edit", "send", false);
    }
}

//! How large a program a pattern becomes, before it is compiled: repetitions are written out. It never compiles one.

use regex_syntax::hir::{Hir, HirKind};

/// How large a pattern's program is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// About how many states it has.
    pub(super) states: usize,
    /// Those of them that are copies: what repetitions with a count write out.
    pub(super) counted: usize,
}

impl Size {
    fn and(self, other: Self) -> Self {
        let states = self.states.saturating_add(other.states);
        Self { states, counted: self.counted.saturating_add(other.counted) }
    }

    const fn more(self, states: usize) -> Self {
        Self { states: self.states.saturating_add(states), counted: self.counted }
    }
}

/// The size of a pattern's program.
pub(super) fn of(hir: &Hir) -> Size {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => Size::default().more(1),
        HirKind::Literal(literal) => Size::default().more(literal.0.len()),
        HirKind::Capture(capture) => of(&capture.sub).more(2),
        HirKind::Repetition(repetition) => {
            let each = of(&repetition.sub).more(1);
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            let times = usize::try_from(times).unwrap_or(usize::MAX);
            let states = each.states.saturating_mul(times);
            let copies = states.saturating_sub(each.states);
            Size { states, counted: each.counted.max(copies) }
        }
        HirKind::Concat(parts) => parts.iter().map(of).fold(Size::default(), Size::and),
        HirKind::Alternation(parts) => {
            parts.iter().map(|part| of(part).more(1)).fold(Size::default(), Size::and)
        }
    }
}

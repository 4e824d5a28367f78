//! Which rules an id, a tag or a message names.

use super::Rule;
use crate::{
    pattern::Patterns,
    seclang::{
        Reason, RuleSelector,
        operator::{Piece, Template},
    },
};

/// The positions of the rules that are meant, in order.
pub(crate) fn matching(rules: &[Rule], selector: &RuleSelector) -> Result<Vec<usize>, Reason> {
    let named = |test: &dyn Fn(&Rule) -> bool| {
        rules.iter().enumerate().filter(|(_, rule)| test(rule)).map(|(index, _)| index).collect()
    };
    Ok(match selector {
        RuleSelector::Ids(ranges) => {
            named(&|rule| ranges.iter().any(|(first, last)| (*first..=*last).contains(&rule.id)))
        }
        RuleSelector::Tag(pattern) => {
            let pattern = Patterns::default().compile(pattern, false)?;
            named(&|rule| rule.tags.iter().any(|tag| pattern.is_match(text(tag).as_bytes())))
        }
        RuleSelector::Message(pattern) => {
            let pattern = Patterns::default().compile(pattern, false)?;
            named(&|rule| rule.message.iter().any(|m| pattern.is_match(text(m).as_bytes())))
        }
    })
}

/// The text as it was written, but for macros.
fn text(template: &Template) -> String {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Macro(_) => String::new(),
    };
    template.0.iter().map(part).collect()
}

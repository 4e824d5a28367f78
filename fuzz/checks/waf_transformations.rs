//! Transformations: none makes a text longer than it says, and none changes one that holds no byte it says it needs. SQL and
//! scripting are looked for in what comes out.

use waf::{
    injection,
    transform::{ByteSet, Transformation, Triggers},
};

/// What must hold of any bytes.
pub(crate) fn holds(input: &[u8]) {
    let present = ByteSet::of(input);
    for transformation in Transformation::all() {
        let made = transformation.apply(input);
        assert!(made.len() <= transformation.bytes_max(input.len()), "{}", transformation.name());
        let idle = match transformation.triggers() {
            Triggers::Bytes(set) => !present.intersects(&set),
            Triggers::Ends(set) => {
                !input.first().into_iter().chain(input.last()).any(|byte| set.contains(*byte))
            }
            Triggers::Always => false,
        };
        assert!(!idle || *made == *input, "{}", transformation.name());
        let _ = (injection::sqli(&made), injection::xss(&made));
    }
}

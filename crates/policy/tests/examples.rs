//! The policies of manifests that the documentation shows: each fits the schema.

use model::{Limits, Manifest};

#[test]
fn policies_of_the_pages_fit_the_schema() {
    let mut policies = 0;
    for page in
        [include_str!("../../../docs/manifest.md"), include_str!("../../../docs/functions-calling.md")]
    {
        for block in page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let manifest = Manifest::parse(block, &Limits::CEILING).unwrap();
            policies += usize::from(manifest.access.policy.is_some());
            let checked = policy::check_access(&"default".parse().unwrap(), &manifest.name, &manifest.access);
            checked.unwrap_or_else(|errors| panic!("{errors}\n{block}"));
        }
    }
    assert!(policies >= 3, "only {policies} policies");
}

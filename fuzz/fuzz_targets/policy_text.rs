//! Cedar text of a tenant and of a function: refused, or compiled into a slice, looked through and compared. It never
//! decides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Access;
use policy::{Difference, Slice, TenantPolicies, check_access, lint};

fuzz_target!(|text: &str| {
    let tenant: model::TenantId = "default".parse().expect("a tenant's name");
    if let Ok(policies) = TenantPolicies::parse(tenant.clone(), text) {
        Slice::for_tenant(&policies).expect("policies that were taken compile");
        lint(&policies, &[]).expect("policies that were taken can be looked through");
        let none = TenantPolicies::none(tenant.clone());
        Difference::of_tenant(&none, &policies, &[]).expect("policies that were taken can be compared");
    }
    let access = Access { allow: None, policy: Some(text.to_owned()), waiver: None };
    let _ = check_access(&tenant, &"hello".parse().expect("a function's name"), &access);
});

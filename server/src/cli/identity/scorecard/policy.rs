//! The rules that are compared.

use anyhow::Context;
use serde_json::json;
use tributary_model::Namespace;
use tributary_model::identity_rules::{IdentityRules, WrittenRules};

/// Who an identifier of a shared device belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Whoever signed in first.
    FirstOwner,
    /// Whoever signed in last.
    LastSignIn,
}

impl Policy {
    /// Every policy, the default first.
    pub(super) const ALL: [Self; 2] = [Self::FirstOwner, Self::LastSignIn];

    /// Its name in the rules.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::FirstOwner => "first_owner",
            Self::LastSignIn => "last_sign_in",
        }
    }

    /// The default rules with this policy for everything that names a device, and one namespace more: phone numbers,
    /// which the crowd leaves.
    pub(super) fn rules(self) -> anyhow::Result<IdentityRules> {
        let mut rules = serde_json::to_value(IdentityRules::default())?;
        let namespaces =
            rules["namespaces"].as_array_mut().context("the default rules declare no namespaces")?;
        for namespace in namespaces.iter_mut() {
            if namespace["name"].as_str().is_some_and(names_a_device) {
                namespace["shared_device"] = json!(self.name());
            }
        }
        let from = ["traits.phone", "context.traits.phone"];
        namespaces.push(json!({"name": "phone", "from": from, "normalize": "phone"}));
        let written: WrittenRules = serde_json::from_value(rules)?;
        Ok(IdentityRules::check(written)?)
    }
}

/// Whether identifiers of a namespace name devices, not people.
fn names_a_device(namespace: &str) -> bool {
    namespace == Namespace::ANONYMOUS_ID.as_str()
        || namespace == "ga_client_id"
        || namespace.starts_with("android.")
        || namespace.starts_with("ios.")
}

//! The paths of the profile API taken apart, and the identifiers in paths, queries and bodies.
//!
//! Paths are not taken apart by the router: `{value}` may hold anything once percent-decoded, colons and slashes (as
//! `%2F`) included, and it ends at the next `/`.

use super::error::ApiError;
use actix_web::http::Method;
use percent_encoding::percent_decode_str;
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::{Identifier, Namespace};

/// What is read and changed: people, or the accounts that they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collection {
    Users,
    Accounts,
}

impl Collection {
    fn parse(name: &str) -> Result<Self, ApiError> {
        match name {
            "users" => Ok(Self::Users),
            "accounts" => Ok(Self::Accounts),
            _ => {
                Err(ApiError::not_found(format!("no collection {name:?}; there are `users` and `accounts`")))
            }
        }
    }

    /// The name in paths and rows.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Accounts => "accounts",
        }
    }
}

/// A part of a profile that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Traits,
    ExternalIds,
    Events,
    Metadata,
    Links,
    Audiences,
    Consent,
    Explain,
    History,
}

/// A change of who a profile is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Unmerge,
    Link,
    Remove,
    Move,
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Read(Part),
    Change(Change),
}

/// Every endpoint with what stands behind the identifier in its path, and its name in metrics.
const ENDPOINTS: [(&[&str], &str, Endpoint); 13] = [
    (&["traits"], "traits", Endpoint::Read(Part::Traits)),
    (&["external_ids"], "external_ids", Endpoint::Read(Part::ExternalIds)),
    (&["events"], "events", Endpoint::Read(Part::Events)),
    (&["metadata"], "metadata", Endpoint::Read(Part::Metadata)),
    (&["links"], "links", Endpoint::Read(Part::Links)),
    (&["audiences"], "audiences", Endpoint::Read(Part::Audiences)),
    (&["consent"], "consent", Endpoint::Read(Part::Consent)),
    (&["explain"], "explain", Endpoint::Read(Part::Explain)),
    (&["history"], "history", Endpoint::Read(Part::History)),
    (&["unmerge"], "unmerge", Endpoint::Change(Change::Unmerge)),
    (&["identifiers", "link"], "link", Endpoint::Change(Change::Link)),
    (&["identifiers", "remove"], "remove", Endpoint::Change(Change::Remove)),
    (&["identifiers", "move"], "move", Endpoint::Change(Change::Move)),
];

impl Endpoint {
    fn parse(rest: &[&str]) -> Option<Self> {
        ENDPOINTS.iter().find(|(path, ..)| *path == rest).map(|(.., endpoint)| *endpoint)
    }

    /// The name, from a closed set: fit for a metric's label.
    pub(super) fn name(self) -> &'static str {
        let entry = ENDPOINTS.iter().find(|(.., endpoint)| *endpoint == self);
        entry.map(|(_, name, _)| *name).expect("every endpoint is in the list")
    }

    /// The one method that it takes.
    pub(super) const fn method(self) -> Method {
        match self {
            Self::Read(_) => Method::GET,
            Self::Change(_) => Method::POST,
        }
    }

    /// Whether profiles of a collection have it: nobody merges accounts, so there is nothing to change in them.
    const fn is_of(self, collection: Collection) -> bool {
        matches!((self, collection), (Self::Read(_), _) | (Self::Change(_), Collection::Users))
    }
}

/// A request for a part of a profile, or for a change of one. It has no `Debug`: the value is personal.
pub(super) struct Address {
    pub(super) workspace: String,
    pub(super) collection: Collection,
    pub(super) namespace: String,
    pub(super) value: String,
    pub(super) endpoint: Endpoint,
}

impl Address {
    /// Takes the path after `/v1/spaces/` apart.
    pub(super) fn parse(path: &str) -> Result<Self, ApiError> {
        let unknown = || ApiError::not_found("no such path; see /openapi.json");
        let parts: Vec<&str> = path.split('/').collect();
        let [workspace, "collections", collection, "profiles", who, rest @ ..] = parts.as_slice() else {
            return Err(unknown());
        };
        let workspace = decode(workspace)?;
        let collection = Collection::parse(collection)?;
        let endpoint =
            Endpoint::parse(rest).filter(|endpoint| endpoint.is_of(collection)).ok_or_else(unknown)?;
        let who = decode(who)?;
        let (namespace, value) = who.split_once(':').ok_or_else(|| {
            ApiError::invalid("a profile is named by namespace:value, user_id:u1 for instance")
        })?;
        let (namespace, value) = (namespace.to_owned(), value.to_owned());
        if collection == Collection::Accounts && namespace != GROUP_ID {
            return Err(ApiError::invalid("an account is named by group_id:value"));
        }
        Ok(Self { workspace, collection, namespace, value, endpoint })
    }
}

/// What accounts are named by.
pub(super) const GROUP_ID: &str = "group_id";

fn decode(segment: &str) -> Result<String, ApiError> {
    let text = percent_decode_str(segment).decode_utf8();
    Ok(text.map_err(|_| ApiError::invalid("the path is not UTF-8 once percent-decoded"))?.into_owned())
}

/// Reads `namespace:value` as an identifier, in the form in which values of the namespace are compared. `place` says
/// where it stands in the request.
pub(super) fn identifier(rules: &IdentifierReader, place: &str, text: &str) -> Result<Identifier, ApiError> {
    let (namespace, value) = split(place, text)?;
    if namespace == Namespace::PROFILE_ID {
        let message = format!("`{place}`: profile_id names a whole profile; give one of its identifiers");
        return Err(ApiError::invalid(message));
    }
    rules
        .identifier(&Namespace::new(namespace), value)
        .map_err(|why| ApiError::invalid(format!("`{place}`: {why}")))
}

/// No declared namespace has a longer name.
const NAMESPACE_BYTES_MAX: usize = 64;

/// Takes `namespace:value` apart, at the first colon.
pub(super) fn split<'a>(place: &str, text: &'a str) -> Result<(&'a str, &'a str), ApiError> {
    text.split_once(':')
        .filter(|(namespace, _)| !namespace.is_empty() && namespace.len() <= NAMESPACE_BYTES_MAX)
        .ok_or_else(|| ApiError::invalid(format!("`{place}`: give namespace:value, user_id:u1 for instance")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::identity_rules::IdentityRules;

    #[test]
    fn addresses_keep_every_character_of_a_value() {
        let cases = [
            ("default/collections/users/profiles/user_id:u1/traits", Some(("user_id", "u1"))),
            ("default/collections/users/profiles/user_id:a:b%3Ac/traits", Some(("user_id", "a:b:c"))),
            ("default/collections/users/profiles/email:a%2Bb%40x.y/traits", Some(("email", "a+b@x.y"))),
            ("default/collections/users/profiles/user_id:a%2Fb%20c/traits", Some(("user_id", "a/b c"))),
            ("default/collections/users/profiles/user_id%3Au1/traits", Some(("user_id", "u1"))),
            ("default/collections/users/profiles/user_id:%2525/traits", Some(("user_id", "%25"))),
            ("default/collections/users/profiles/user_id:a+b/traits", Some(("user_id", "a+b"))),
            ("default/collections/users/profiles/user_id:a%2Fb/identifiers/move", Some(("user_id", "a/b"))),
            ("default/collections/users/profiles/u1/traits", None),
            ("default/collections/users/profiles/user_id:%ff/traits", None),
            ("default/collections/users/profiles/user_id:u1/nothing", None),
            ("default/collections/users/profiles/user_id:u1/traits/", None),
            ("default/collections/users/profiles/user_id:u1", None),
            ("default/collections/users/profiles/user_id:u1/identifiers", None),
            ("default/collections/users/profiles/user_id:u1/identifiers/", None),
            ("default/collections/users/profiles/user_id:u1/link", None),
            ("default/collections/accounts/profiles/group_id:a:1%2F2/traits", Some(("group_id", "a:1/2"))),
            ("default/collections/accounts/profiles/group_id:g/links", Some(("group_id", "g"))),
            ("default/collections/accounts/profiles/user_id:g/traits", None),
            ("default/collections/accounts/profiles/group_id:g/identifiers/move", None),
            ("default/collections/accounts/profiles/group_id:g/unmerge", None),
            ("default/collections/things/profiles/group_id:g/traits", None),
            ("default", None),
            ("", None),
        ];
        for (path, want) in cases {
            let got = Address::parse(path).ok();
            let got = got.as_ref().map(|address| (address.namespace.as_str(), address.value.as_str()));
            assert_eq!(got, want, "{path}");
        }
    }

    #[test]
    fn every_endpoint_has_a_path_a_name_and_a_method() {
        let cases = [
            ("traits", "traits", Method::GET),
            ("external_ids", "external_ids", Method::GET),
            ("events", "events", Method::GET),
            ("metadata", "metadata", Method::GET),
            ("links", "links", Method::GET),
            ("audiences", "audiences", Method::GET),
            ("consent", "consent", Method::GET),
            ("explain", "explain", Method::GET),
            ("history", "history", Method::GET),
            ("unmerge", "unmerge", Method::POST),
            ("identifiers/link", "link", Method::POST),
            ("identifiers/remove", "remove", Method::POST),
            ("identifiers/move", "move", Method::POST),
        ];
        assert_eq!(cases.len(), ENDPOINTS.len());
        for (path, name, method) in cases {
            let address = Address::parse(&format!("default/collections/users/profiles/user_id:u1/{path}"));
            let Ok(Address { endpoint, .. }) = address else { panic!("{path} is no address") };
            assert_eq!((endpoint.name(), endpoint.method()), (name, method), "{path}");
        }
    }

    #[test]
    fn identifiers_are_read_under_the_rules() {
        let rules = IdentifierReader::new(&IdentityRules::default()).expect("the default rules work");
        let cases = [
            ("user_id:u1", Ok("user_id:u1")),
            ("user_id: U:1 ", Ok("user_id: U:1 ")),
            ("email: Ada@Example.com", Ok("email:ada@example.com")),
            ("anonymous_id:a/b", Ok("anonymous_id:a/b")),
            ("email:ada", Err("`edge[0]`: the value has not the form of its namespace")),
            ("user_id:", Err("`edge[0]`: the value is empty")),
            ("u1", Err("`edge[0]`: give namespace:value, user_id:u1 for instance")),
            (":u1", Err("`edge[0]`: give namespace:value, user_id:u1 for instance")),
            (
                "profile_id:00",
                Err("`edge[0]`: profile_id names a whole profile; give one of its identifiers"),
            ),
        ];
        for (text, want) in cases {
            let got = identifier(&rules, "edge[0]", text).map(|found| found.to_text());
            let got = got.map_err(|error| error.to_string());
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }
}

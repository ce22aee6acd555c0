//! A profile as an export shows it.

/// One row. It has no `Debug`: all of it is personal.
#[cfg_attr(test, derive(Debug))]
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The profile's id.
    pub profile_id: String,
    /// Its first `user_id`.
    pub user_id: Option<String>,
    /// Its first `email`.
    pub email: Option<String>,
    /// Every `anonymous_id`.
    pub anonymous_ids: Vec<String>,
    /// Every identifier, as `namespace:value`.
    pub identifiers: Vec<String>,
    /// Names and values of the traits that were sent, the values as JSON texts; sorted by name, each name once.
    pub traits: Vec<(String, String)>,
    /// The same of the computed traits that have a value.
    pub computed: Vec<(String, String)>,
    /// The keys of the audiences that it is in.
    pub audiences: Vec<String>,
    /// Since when it is in the audience that is exported.
    pub since: Option<String>,
}

/// The names of an export's columns, those of traits apart.
pub(super) mod names {
    /// The profile's id.
    pub(crate) const PROFILE_ID: &str = "profile_id";
    /// The first `user_id`.
    pub(crate) const USER_ID: &str = "user_id";
    /// The first `email`.
    pub(crate) const EMAIL: &str = "email";
    /// Every `anonymous_id`.
    pub(crate) const ANONYMOUS_IDS: &str = "anonymous_ids";
    /// Every identifier.
    pub(crate) const IDENTIFIERS: &str = "identifiers";
    /// The keys of the audiences.
    pub(crate) const AUDIENCES: &str = "audiences";
    /// Since when it is a member.
    pub(crate) const SINCE: &str = "since";
    /// The traits as an object; beside columns of traits, those that have none.
    pub(crate) const TRAITS: &str = "traits";
    /// What stands before the name of a trait that has a column.
    pub(crate) const OF_TRAIT: &str = "traits.";
    /// The computed traits as an object; beside columns of computed traits, those that have none.
    pub(crate) const COMPUTED: &str = "computed";
    /// What stands before the name of a computed trait that has a column.
    pub(crate) const OF_COMPUTED: &str = "computed.";
    /// What an import takes an `anonymous_id` from.
    pub(crate) const ANONYMOUS_ID: &str = "anonymous_id";

    /// Those that an import passes over, because they only describe the profile. `anonymous_ids` is none of them: it
    /// names who has no user id.
    pub(crate) const DESCRIBING: [&str; 7] =
        [PROFILE_ID, USER_ID, EMAIL, IDENTIFIERS, AUDIENCES, SINCE, COMPUTED];
}

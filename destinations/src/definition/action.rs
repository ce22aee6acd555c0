//! What a definition can do with an activation.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Reads actions: a list of them, or `{"shared": [field, …], "each": [action, …]}`, where each action has the shared
/// fields behind its own, but for those that it has itself.
///
/// # Errors
/// What is not in this form.
pub(super) fn actions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ActionSpec>, D::Error> {
    let written = serde_json::Value::deserialize(from)?;
    if written.is_array() {
        return serde_json::from_value(written).map_err(D::Error::custom);
    }
    let Sharing { shared, mut each } = serde_json::from_value(written).map_err(D::Error::custom)?;
    for action in &mut each {
        let own = action.fields.len();
        for field in &shared {
            if action.fields[..own].iter().all(|has| has.name != field.name) {
                action.fields.push(field.clone());
            }
        }
    }
    Ok(each)
}

/// Actions that have fields in common.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sharing {
    shared: Vec<FieldSpec>,
    each: Vec<ActionSpec>,
}

/// One thing that a definition can do with an activation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// Its name in configurations.
    pub name: String,
    /// A name for people.
    pub title: String,
    /// What it does.
    pub help: String,
    /// Where the vendor documents it.
    #[serde(default)]
    pub documentation: Option<String>,
    /// What it can be done with.
    pub takes: Vec<Taken>,
    /// Which of those it is done with where a mapping says nothing else: a condition about an event, as text. `None`
    /// for all of them.
    #[serde(default)]
    pub trigger: Option<String>,
    /// Whether a destination without mappings of its own does it.
    #[serde(default)]
    pub preset: bool,
    /// What its payload consists of, in the order in which a form shows them.
    pub fields: Vec<FieldSpec>,
    /// Groups of fields of which at least one has to be there, as a required one has to be.
    #[serde(default)]
    pub any_of: Vec<Vec<String>>,
    /// How the request is made, where that differs from what the transport says. HTTP only.
    #[serde(default)]
    pub request: Option<super::RequestSpec>,
}

/// What an action can be done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// Track calls.
    Track,
    /// Identify calls.
    Identify,
    /// Page calls.
    Page,
    /// Screen calls.
    Screen,
    /// Group calls.
    Group,
    /// Alias calls.
    Alias,
    /// That profiles entered or left audiences, in the form of track calls.
    AudienceChanges,
    /// The same in the form of identify calls that set a trait.
    AudienceTraits,
    /// That profiles were merged or split, in the form of track calls.
    ProfileChanges,
}

/// A member of an action's payload.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// Its name in the payload. Dots part the names of objects within each other: `user_data.sha256_email_address`.
    pub name: String,
    /// A name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// What values it takes.
    pub kind: FieldKind,
    /// What it is for.
    pub help: String,
    /// When it has to be there.
    #[serde(default)]
    pub required: Required,
    /// How it is filled where a mapping says nothing else: a directive, or a literal.
    #[serde(default)]
    pub default: Option<serde_json::Value>,
    /// How a personal value is made unreadable before it is sent. A value that has that form already stays.
    #[serde(default)]
    pub hash: Option<Hashing>,
    /// The longest text, in characters.
    #[serde(default)]
    pub characters_max: Option<usize>,
    /// What becomes of a longer one, and of an object or a list with too many members.
    #[serde(default)]
    pub too_long: TooLong,
    /// Whether every character of a text that is no letter and no digit of ASCII becomes an underscore.
    #[serde(default)]
    pub clean: bool,
    /// A regular expression that matches the whole of a good text.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Of a number, the smallest.
    #[serde(default)]
    pub minimum: Option<f64>,
    /// Of a number, the largest.
    #[serde(default)]
    pub maximum: Option<f64>,
    /// Of an object or a list, how many members it may have; `too_long` says what becomes of one with more.
    #[serde(default)]
    pub members_max: Option<usize>,
    /// Of an object, which members are left out, and of what lies in it at any depth: names in small letters with
    /// underscores between words, as `user_email` for `userEmail`; `*` at an end stands for anything.
    #[serde(default)]
    pub members_left_out: Vec<String>,
    /// Of an object, names that the vendor keeps for itself, or what they begin with where they end with `*`: members
    /// that have such are left out.
    #[serde(default)]
    pub members_reserved: Vec<String>,
    /// Of an object, how members are named.
    #[serde(default)]
    pub member_names: MemberNames,
    /// Of an object whose members' names are cleaned, how many characters are left of one.
    #[serde(default)]
    pub member_name_characters_max: Option<usize>,
    /// Of an object, a regular expression that matches the whole of every member's name. Where names are cleaned, members
    /// that still don't match are left out; otherwise the delivery is refused.
    #[serde(default)]
    pub member_pattern: Option<String>,
    /// Of an object, the longest text of a member, in characters; `too_long` says what becomes of longer ones.
    #[serde(default)]
    pub member_characters_max: Option<usize>,
    /// Of an object or a list, what each of its members has to be: an object with members of its own. Where it is said,
    /// an object or a list in which nothing is left is nothing.
    #[serde(default)]
    pub each: Option<EachSpec>,
    /// How templates write what they put into a text, so that the vendor takes that for nothing but text.
    #[serde(default)]
    pub escape: Option<Escaping>,
    /// Texts that it takes, if only some.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Texts that the vendor refuses, or that begin so where they end with `*`.
    #[serde(default)]
    pub reserved: Vec<String>,
}

/// What each member of an object or a list has to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EachSpec {
    /// Its own members. Of several rules for one name the first counts.
    #[serde(default)]
    pub members: Vec<MemberSpec>,
    /// Groups of names of which at least one has to be there, with something in it.
    #[serde(default)]
    pub any_of: Vec<Vec<String>>,
    /// What becomes of one that is not so.
    #[serde(default)]
    pub unfit: Unfit,
}

/// Members of what lies in an object or a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// Their names, or what these begin with where they end with `*`.
    pub names: Vec<String>,
    /// What values they take. Null stays null.
    pub kind: MemberKind,
    /// The longest text, in characters.
    #[serde(default)]
    pub characters_max: Option<usize>,
    /// What becomes of a longer one.
    #[serde(default)]
    pub too_long: TooLong,
}

/// What values a member takes. A value of another type that means the same is brought to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// A text; numbers and booleans become texts.
    Text,
    /// A number; texts that are numbers become numbers.
    Number,
    /// Anything but objects and lists.
    Scalar,
}

/// What becomes of a member that is not as each has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// The delivery is refused.
    #[default]
    Refuse,
    /// It is left out.
    LeaveOut,
}

/// How something is written within a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escaping {
    /// `&`, `<` and `>` as `&amp;`, `&lt;` and `&gt;`.
    HtmlEntities,
}

/// What values a field takes. A value of another type that means the same is brought to it: `"12.5"` to 12.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// A text; numbers and booleans become texts.
    Text,
    /// A number; texts that are numbers become numbers.
    Number,
    /// A whole number.
    Integer,
    /// True or false; the texts `true` and `false` become that.
    Boolean,
    /// A moment: an RFC 3339 text; numbers of seconds or milliseconds since 1970 become that.
    Datetime,
    /// A moment as whole microseconds since 1970, made of anything that is a moment.
    UnixMicros,
    /// An object.
    Object,
    /// A list; a single value becomes a list of it.
    List,
    /// Whatever is there.
    Any,
}

/// When a field has to be there: with anything but null, a blank text or an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Required {
    /// It may be missing.
    #[default]
    Never,
    /// Always.
    Always,
    /// Where that setting is given.
    WithSetting(String),
}

/// How a personal value is made unreadable: hexadecimal SHA-256 of the value in the form that vendors compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hashing {
    /// An email address: trimmed, lower case.
    Email,
    /// The same as Google compares it: without blanks and, at gmail.com and googlemail.com, without dots before the `@`.
    GoogleEmail,
    /// A phone number: digits with a leading plus (E.164). One that is not written with a plus and its country code is
    /// left out: which country it is of is not known.
    Phone,
    /// A name: trimmed, lower case.
    Name,
    /// As it is, trimmed.
    Text,
}

/// How the members of an object are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberNames {
    /// As they are.
    #[default]
    Keep,
    /// Every character that is no letter and no digit of ASCII becomes an underscore, and what is too long is cut. Of
    /// several members that come to have one name the first counts.
    Clean,
}

/// What becomes of a text that is too long, and of an object or a list with too many members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// The delivery is refused.
    #[default]
    Refuse,
    /// It is cut: the first characters, or members, are kept.
    Cut,
}

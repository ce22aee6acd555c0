//! Which members of an event may be compared where, and what may be compared of its profile.

use super::{Check, Checked, ConditionError, Stand};
use crate::condition::FieldPath;
use crate::condition::text::nearest;
use crate::condition::text::words::PROFILE;

/// What stands in a profile.
const PARTS: [&str; 4] = ["id", "traits", "audiences", "identifiers"];

impl Check {
    pub(super) fn field(&self, path: &FieldPath, stand: Stand) -> Checked {
        let head = path.head();
        match stand {
            Stand::Event if head == PROFILE => self.profile(path.rest()),
            Stand::Where if head == PROFILE => Err(self
                .refuse("`profile` stands in filters and triggers of destinations only")
                .hinted("what holds of the profile is `traits.…`, outside of `where`".to_owned())),
            Stand::Where | Stand::Event => Ok(()),
            Stand::Profile | Stand::Account | Stand::Member => Err(self
                .refuse(format!("`{head}` is a field of events: it stands in a `where` only"))
                .hinted("write `event(\"…\") where …`; what holds of the profile is `traits.…`".to_owned())),
        }
    }

    /// A path within the profile: one that can never lead anywhere is refused.
    fn profile(&self, path: &[Box<str>]) -> Checked {
        let mut names = path.iter().map(|name| &**name);
        let (part, name, rest) = (names.next().unwrap_or_default(), names.next(), names.next());
        let hint = match (part, name, rest) {
            ("id", None, _) | ("traits", Some(_), _) | ("audiences" | "identifiers", Some(_), None) => {
                return Ok(());
            }
            ("id", ..) => "write `profile.id`".to_owned(),
            ("traits", ..) => "write `profile.traits.plan` with the name of the trait".to_owned(),
            ("audiences", ..) => {
                "write `profile.audiences.vip = true` with the key of the audience".to_owned()
            }
            ("identifiers", ..) => "write `profile.identifiers.email` with the namespace".to_owned(),
            _ => nearest(part, PARTS.into_iter()).map_or_else(
                || "there are `profile.id`, `.traits`, `.audiences` and `.identifiers`".to_owned(),
                |near| format!("did you mean `profile.{near}`"),
            ),
        };
        Err(self.refuse("the profile has no such part").hinted(hint))
    }

    /// Why a trait is not compared in a condition about an event.
    pub(super) fn no_traits_here(&self, path: &FieldPath, stand: Stand) -> ConditionError {
        let of_profile = if stand == Stand::Event {
            format!(", those of the profile `field(\"profile.traits.{path}\")`")
        } else {
            String::new()
        };
        self.refuse("a condition about an event looks at that event alone, not at traits")
            .hinted(format!("traits in the event are `field(\"traits.{path}\")`{of_profile}"))
    }
}

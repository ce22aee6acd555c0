//! What a key names, read from its bytes.

use super::{Key, Tag};
use tributary_identity::EdgeKey;
use tributary_model::identity_rules::Normalization;
use tributary_model::{AudienceId, Identifier, Namespace, NodeKey, ProfileId, Timestamp, WorkspaceId};

impl Key {
    /// The workspace that the entry belongs to; `None` if the bytes are no key of ours.
    pub fn workspace_id(&self) -> Option<WorkspaceId> {
        let bytes = self.0.get(..4)?.try_into().ok()?;
        Some(WorkspaceId(u32::from_be_bytes(bytes)))
    }

    /// The node that a node's, a fragment's or a tally's key names; `None` for any other key.
    pub fn node_named(&self) -> Option<NodeKey> {
        self.rest_under(&[Tag::Node, Tag::Fragment, Tag::Tally])?.node()
    }

    /// The link that the key of an edge, a refusal or the word of one names; `None` for any other key.
    pub fn edge_named(&self) -> Option<EdgeKey> {
        if let Some(mut rest) = self.rest_under(&[Tag::Edge, Tag::Refusal]) {
            return Some(EdgeKey { anchor: rest.node()?, other: rest.node()? });
        }
        let mut rest = self.rest_under(&[Tag::RefusedBy])?;
        Some(EdgeKey { other: rest.node()?, anchor: rest.node()? })
    }

    /// The profile that a profile's key names; `None` for any other key.
    pub fn profile_named(&self) -> Option<ProfileId> {
        self.rest_under(&[Tag::Profile])?.last_profile()
    }

    /// The profile whose audiences these are; `None` for any other key.
    pub fn standing_named(&self) -> Option<ProfileId> {
        self.rest_under(&[Tag::Standing])?.last_profile()
    }

    /// The number that a partition's or an alarm's key ends with; `None` for any other key.
    pub fn number_named(&self) -> Option<u64> {
        self.rest_under(&[Tag::Alarm, Tag::Partition])?.0.try_into().ok().map(u64::from_be_bytes)
    }

    /// The audience and the profile in it that a member's key names; `None` for any other key.
    pub fn member_named(&self) -> Option<(AudienceId, ProfileId)> {
        let mut rest = self.rest_under(&[Tag::Member])?;
        Some((rest.audience()?, rest.last_profile()?))
    }

    /// When a timer is due, and whose it is; `None` for any other key.
    pub fn timer_named(&self) -> Option<(Timestamp, ProfileId)> {
        let mut rest = self.rest_under(&[Tag::Timer])?;
        Some((Timestamp::from_micros(rest.signed()?), rest.last_profile()?))
    }

    /// The audience and the hour (counted from 1970-01-01) that the key of a size names; `None` for any other key.
    pub fn size_named(&self) -> Option<(AudienceId, i64)> {
        let mut rest = self.rest_under(&[Tag::Size])?;
        Some((rest.audience()?, rest.signed()?))
    }

    /// The id of the account that an account's key names; `None` for any other key.
    pub fn account_named(&self) -> Option<&str> {
        self.rest_under(&[Tag::Account])?.text()
    }

    /// The id of an account and the identifier that is linked to it; `None` for any other key.
    pub fn account_member_named(&self) -> Option<(&str, NodeKey)> {
        let mut rest = self.rest_under(&[Tag::AccountMember])?;
        Some((rest.text()?, rest.node()?))
    }

    /// The trait, the beginning of its value in the form for searches, and the node that has it; `None` for any other
    /// key.
    pub fn search_named(&self) -> Option<(&str, &str, NodeKey)> {
        let mut rest = self.rest_under(&[Tag::Search])?;
        Some((rest.text()?, rest.ended_text()?, rest.node()?))
    }

    /// What is to be read behind the tag, if it is one of these.
    fn rest_under(&self, tags: &[Tag]) -> Option<Rest<'_>> {
        let tag = Tag::of(&self.0)?;
        tags.contains(&tag).then(|| Rest(self.rest()))
    }
}

/// What is left to be read of a key.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn node(&mut self) -> Option<NodeKey> {
        let namespace = Namespace::new(self.text()?);
        // Its form is the one that its rule gave it once, whatever the rules say today.
        let identifier = Identifier::normalized(namespace, self.text()?, &Normalization::Exact).ok()?;
        let epoch = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        Some(NodeKey { identifier, epoch })
    }

    fn audience(&mut self) -> Option<AudienceId> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes).map(AudienceId)
    }

    /// A number whose sign was turned round.
    fn signed(&mut self) -> Option<i64> {
        let bytes: [u8; 8] = self.take(8)?.try_into().ok()?;
        Some(i64::from_be_bytes(bytes) ^ i64::MIN)
    }

    /// A profile, with nothing behind it.
    fn last_profile(&self) -> Option<ProfileId> {
        self.0.try_into().ok().map(ProfileId)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }

    /// A text that a zero byte ends.
    fn ended_text(&mut self) -> Option<&'a str> {
        let length = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        self.take(1)?;
        Some(text)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

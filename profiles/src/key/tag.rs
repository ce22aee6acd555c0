//! What entries of the state store there are.

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    /// An account: what `group` calls said of it.
    Account,
    /// That an identifier's events named an account.
    AccountMember,
    /// Something about identity that somebody should look at.
    Alarm,
    /// Up to where the log has been applied.
    Checkpoint,
    /// What a workspace defines: its audiences and computed traits, and how far each is.
    Definitions,
    /// An evidence edge.
    Edge,
    /// A fragment.
    Fragment,
    /// Something that happened to a profile.
    History,
    /// That a profile is in an audience.
    Member,
    /// What destinations name of profiles: activations carry that.
    Needs,
    /// A node of the identity graph.
    Node,
    /// Sets of identifiers that a person parted.
    Partition,
    /// A profile.
    Profile,
    /// That there is a refused link which names this identifier second.
    RefusedBy,
    /// A refused link.
    Refusal,
    /// The beginning of a trait's value, by which people are searched for.
    Search,
    /// How large an audience was at the end of an hour.
    Size,
    /// The audiences that a profile is in, and when that has to be looked at again.
    Standing,
    /// How many profiles an identifier joined on a day.
    Tally,
    /// The time at which a profile has to be looked at again.
    Timer,
    /// What the projector keeps of a workspace: its version, its rules, its counters.
    Workspace,
}

impl Tag {
    /// Every tag.
    pub const ALL: [Self; 21] = [
        Self::Account,
        Self::AccountMember,
        Self::Alarm,
        Self::Checkpoint,
        Self::Definitions,
        Self::Edge,
        Self::Fragment,
        Self::History,
        Self::Member,
        Self::Needs,
        Self::Node,
        Self::Partition,
        Self::Profile,
        Self::RefusedBy,
        Self::Refusal,
        Self::Search,
        Self::Size,
        Self::Standing,
        Self::Tally,
        Self::Timer,
        Self::Workspace,
    ];

    /// The byte that stands for it in keys. `~` is none: parts of large values have it.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Account => b'A',
            Self::Definitions => b'D',
            Self::AccountMember => b'L',
            Self::Timer => b'T',
            Self::Alarm => b'a',
            Self::RefusedBy => b'b',
            Self::Checkpoint => b'c',
            Self::Partition => b'd',
            Self::Edge => b'e',
            Self::Fragment => b'f',
            Self::History => b'h',
            Self::Needs => b'i',
            Self::Member => b'm',
            Self::Node => b'n',
            Self::Profile => b'p',
            Self::Search => b'q',
            Self::Refusal => b'r',
            Self::Standing => b's',
            Self::Tally => b't',
            Self::Workspace => b'w',
            Self::Size => b'z',
        }
    }

    /// The tag of a stored key; `None` if the bytes are no key of ours.
    pub fn of(key: &[u8]) -> Option<Self> {
        let byte = key.get(4)?;
        Self::ALL.into_iter().find(|tag| tag.byte() == *byte)
    }
}

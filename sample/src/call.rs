//! One call of the day, as a sender gets it.

/// Where a call comes from. Each channel is a source of its own in a real shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The web shop, through a browser SDK: one request for each call.
    Web,
    /// The iOS app, through a mobile SDK: small batches.
    Ios,
    /// The tills and tablets in the stores, through a server SDK: batches.
    PointOfSale,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Web, Self::Ios, Self::PointOfSale];

    /// A name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Ios => "ios",
            Self::PointOfSale => "point of sale",
        }
    }
}

/// Which of the six calls it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// Who somebody is.
    Identify,
    /// What somebody did.
    Track,
    /// A web page was seen.
    Page,
    /// A screen of the app was seen.
    Screen,
    /// Somebody belongs to a company.
    Group,
    /// Two ids are the same person's.
    Alias,
}

impl CallKind {
    /// The value of `type`, and the last part of the path for a single call.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }
}

/// Whether a call is posted for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sending {
    /// The first time.
    First,
    /// Once more, with the same `messageId` and the same bytes, as an SDK does that has missed an answer.
    Repeat,
}

/// One call of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The JSON object that an SDK would send, without `sentAt`. It ends in `}`.
    pub body: String,
    /// The true person behind it, counted from 0.
    pub person: u64,
    /// The device that it was made on: its hardware's id where the SDK tells one, else its `anonymousId`. A till has no
    /// id of its own: a receipt stands for one, else it is `None`.
    pub device: Option<String>,
    /// Where it comes from.
    pub channel: Channel,
    /// Which call it is.
    pub kind: CallKind,
    /// Whether it was posted before.
    pub sending: Sending,
    /// How long after it happened it is posted, in milliseconds of the day; 0 for nearly all. Anything else
    /// is a late call: calls that happened after it were posted before it.
    pub late_ms: i64,
}

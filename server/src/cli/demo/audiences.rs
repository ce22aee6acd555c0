//! The audiences of the demo, and whether the numbers about them agree.
//!
//! What the receiver was sent is counted against what the product says of each audience. What is known beforehand is
//! compared too: the generator knows how many of the day's people buy again, and nobody of them is lapsed.

use super::api::{Api, Counts};
use super::observe::ASK_EVERY;
use super::receiver::{AudienceChange, Receiver, Way};
use super::report::{grouped, mark};
use anyhow::ensure;
use std::fmt;
use std::time::{Duration, Instant};
use tributary_sample::Expectation;

/// Those with two orders or more.
pub(super) const REPEAT_BUYERS: &str = "repeat_buyers";
/// Those who put something into the cart, did nothing to it for an hour, and did not order.
pub(super) const CART_ABANDONED: &str = "cart_abandoned";
/// Those who ordered, but not within thirty days.
pub(super) const LAPSED: &str = "lapsed";

/// Every audience: its key, and its condition as somebody would type it.
const AUDIENCES: [(&str, &str); 3] = [
    (REPEAT_BUYERS, r#"count(event("Order Completed") within 30d) >= 2"#),
    (
        CART_ABANDONED,
        r#"event("Product Added") within 1d and not event("Product Added") within 1h and not event("Order Completed") within 1d"#,
    ),
    (LAPSED, r#"event("Order Completed") within 90d and not event("Order Completed") within 30d"#),
];

/// Creates the audiences, and waits until all of them follow the events as they come.
pub(super) async fn create(api: &Api, within: Duration) -> anyhow::Result<()> {
    for (key, definition) in AUDIENCES {
        api.create_audience(key, definition).await?;
    }
    let began = Instant::now();
    let mut tick = tokio::time::interval(ASK_EVERY);
    for (key, _) in AUDIENCES {
        while !api.is_live(key).await? {
            ensure!(began.elapsed() < within, "the audience {key} is not live within {} s", within.as_secs());
            tick.tick().await;
        }
    }
    Ok(())
}

/// The numbers of the audiences.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Audiences(Vec<Numbers>);

/// The numbers of one.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    key: &'static str,
    /// What the product says.
    told: Counts,
    /// How many entries and exits arrived.
    arrived: (u64, u64),
    /// How many entries and exits there must be, where that is known.
    want: Option<(u64, u64)>,
}

impl Numbers {
    fn of(key: &'static str, told: Counts, changes: &[AudienceChange], expectation: &Expectation) -> Self {
        let arrived =
            |way| changes.iter().filter(|change| change.key == key && change.way == way).count() as u64;
        // One of the scene enters and leaves each.
        let want = match key {
            REPEAT_BUYERS => Some((expectation.repeat_buyers + 1, 1)),
            LAPSED => Some((1, 1)),
            _ => None,
        };
        Self { key, told, arrived: (arrived(Way::Entered), arrived(Way::Left)), want }
    }

    fn agree(&self) -> bool {
        let Counts { entered, left, members } = self.told;
        self.arrived == (entered, left)
            && entered == left + members
            && self.want.is_none_or(|want| want == self.arrived)
    }
}

impl Audiences {
    /// Waits until the numbers agree, or nothing has moved for a while.
    pub(super) async fn settle(
        api: &Api,
        receiver: &Receiver,
        expectation: &Expectation,
        quiet_for: Duration,
    ) -> anyhow::Result<Self> {
        let mut last = (Self(Vec::new()), Instant::now());
        let mut tick = tokio::time::interval(ASK_EVERY);
        loop {
            tick.tick().await;
            let mut all = Vec::with_capacity(AUDIENCES.len());
            for (key, _) in AUDIENCES {
                let told = api.audience(key).await?;
                all.push(Numbers::of(key, told, &receiver.changes(), expectation));
            }
            let now = Self(all);
            if now.differences().is_empty() {
                return Ok(now);
            }
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > quiet_for {
                return Ok(now);
            }
        }
    }

    /// The keys of those whose numbers do not agree.
    pub(super) fn differences(&self) -> Vec<&'static str> {
        self.0.iter().filter(|numbers| !numbers.agree()).map(|numbers| numbers.key).collect()
    }
}

impl fmt::Display for Audiences {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n{:30}{:>10}{:>10}{:>10}", "Audiences", "entered", "left", "members")?;
        for numbers in &self.0 {
            let Counts { entered, left, members } = numbers.told;
            let (key, mark) = (numbers.key, mark(numbers.agree()));
            writeln!(
                out,
                "  {key:28}{:>10}{:>10}{:>10}  {mark}",
                grouped(entered),
                grouped(left),
                grouped(members)
            )?;
            if !numbers.agree() {
                let (entered, left) = numbers.arrived;
                write!(out, "    arrived: {entered} entered, {left} left")?;
                if let Some((entered, left)) = numbers.want {
                    write!(out, "; expected: {entered} entered, {left} left")?;
                }
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(key: &str, entered: u64, left: u64) -> Vec<AudienceChange> {
        let change = |way| AudienceChange { key: key.to_owned(), way, user_id: None, at: Instant::now() };
        let entered = (0..entered).map(|_| change(Way::Entered));
        entered.chain((0..left).map(|_| change(Way::Left))).collect()
    }

    #[test]
    fn numbers_agree_only_if_all_of_them_do() {
        let expectation = Expectation { repeat_buyers: 7, ..Expectation::default() };
        let counts = |entered, left, members| Counts { entered, left, members };
        let cases = [
            (REPEAT_BUYERS, counts(8, 1, 7), (8, 1), true),
            (REPEAT_BUYERS, counts(8, 1, 7), (7, 1), false),
            (REPEAT_BUYERS, counts(9, 2, 7), (9, 2), false),
            (REPEAT_BUYERS, counts(8, 1, 8), (8, 1), false),
            (CART_ABANDONED, counts(30, 12, 18), (30, 12), true),
            (CART_ABANDONED, counts(30, 12, 18), (30, 11), false),
            (LAPSED, counts(1, 1, 0), (1, 1), true),
            (LAPSED, counts(0, 0, 0), (0, 0), false),
        ];
        for (key, told, (entered, left), want) in cases {
            let numbers = Numbers::of(key, told, &changes(key, entered, left), &expectation);
            let audiences = Audiences(vec![numbers]);
            let differences = if want { vec![] } else { vec![key] };
            assert_eq!(audiences.differences(), differences, "{audiences:?}");
            assert_eq!(audiences.to_string().contains('✗'), !want, "{audiences}");
        }
    }
}

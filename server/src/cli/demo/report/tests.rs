use super::super::receiver::Arrived;
use super::*;
use tributary_sample::{Config, Day};

fn expectation() -> Expectation {
    let mut day = Day::new(Config { people: 20, events: 300, ..Config::default() });
    assert_eq!(day.by_ref().count(), 300);
    day.expectation().clone()
}

fn as_expected(want: &Expectation) -> Report<'_> {
    let observed = Observed {
        accepted: want.accepted,
        rejected: 0,
        projected: want.distinct,
        duplicates: want.duplicates,
        profiles: want.profiles,
        ended: want.distinct,
        arrived: Arrived { events: want.distinct, changes: 0, unverified: 0 },
    };
    let profile = Profile {
        identifiers: want
            .example
            .identifiers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        traits: want.example.traits.clone(),
        events: want.example.events,
        ..Profile::default()
    };
    Report { want, observed, profile, posted: Posted::default() }
}

#[test]
fn every_difference_is_named() {
    type Change = fn(&mut Report<'_>);
    let cases: [(&str, Change); 10] = [
        ("accepted", |report| report.observed.accepted -= 1),
        ("rejected", |report| report.observed.rejected += 1),
        ("duplicates", |report| report.observed.duplicates += 1),
        ("folded into profiles", |report| report.observed.projected += 1),
        ("profiles", |report| report.observed.profiles += 1),
        ("events delivered", |report| report.observed.arrived.events -= 1),
        ("with a wrong signature", |report| report.observed.arrived.unverified += 1),
        ("events of the profile below", |report| report.profile.events += 1),
        ("identifiers of the profile", |report| report.profile.identifiers.clear()),
        ("traits of the profile", |report| report.profile.traits.clear()),
    ];
    let want = expectation();
    let report = as_expected(&want);
    assert_eq!(report.differences(), Vec::<&str>::new());
    assert!(!report.to_string().contains('✗'), "{report}");
    for (name, change) in cases {
        let mut report = as_expected(&want);
        change(&mut report);
        assert_eq!(report.differences(), [name]);
        assert!(report.to_string().contains('✗'), "{report}");
    }
}

#[test]
fn thousands_are_set_apart() {
    for (number, want) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), want);
    }
}

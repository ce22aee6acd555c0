//! The history of an audience's size, as it is plotted.

use tributary_model::Timestamp;

use super::bodies::SizePoint;
use crate::admin::outside::SizeHour;

const HOUR_MICROS: i64 = 3_600_000_000;

/// A point for each hour from that of `from` to the one that holds the last moment before `to`. Hours in which nothing
/// happened have the size of the hour before. `changes` are the hours in which something did, oldest first; those
/// before `from` count for the size that the first point begins with.
pub(in crate::admin) fn size_points(changes: &[SizeHour], from: Timestamp, to: Timestamp) -> Vec<SizePoint> {
    let (mut hour, end) = (hour_of(from), to.as_micros());
    let mut changes = changes.iter().peekable();
    let mut size = 0;
    while let Some(before) = changes.next_if(|change| change.at.as_micros() < hour) {
        size = before.size;
    }
    let mut points = Vec::new();
    while hour < end {
        let change = changes.next_if(|change| hour_of(change.at) == hour);
        size = change.map_or(size, |change| change.size);
        points.push(SizePoint {
            at: Timestamp::from_micros(hour).to_string(),
            size,
            entered: change.map_or(0, |change| change.entered),
            exited: change.map_or(0, |change| change.exited),
        });
        hour += HOUR_MICROS;
    }
    points
}

/// How many points [`size_points`] makes; none or fewer if `to` is not after `from`.
pub(in crate::admin) fn hours(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_micros() - hour_of(from) + HOUR_MICROS - 1).div_euclid(HOUR_MICROS)
}

/// When the hour of a moment began.
pub(in crate::admin) fn hour_start(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(hour_of(at))
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(HOUR_MICROS) * HOUR_MICROS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-20T{text}Z")).expect("a time")
    }

    #[test]
    fn sizes_are_carried_forward() {
        let hour = |text, size, entered, exited| SizeHour { at: at(text), size, entered, exited };
        let changes = [hour("08:00:00", 5, 5, 0), hour("10:00:00", 7, 3, 1), hour("12:00:00", 0, 0, 7)];
        let cases = [
            ("09:30:00", "12:00:00", vec![("09", 5, 0, 0), ("10", 7, 3, 1), ("11", 7, 0, 0)]),
            ("12:00:00", "12:00:01", vec![("12", 0, 0, 7)]),
            ("13:59:59", "14:00:01", vec![("13", 0, 0, 0), ("14", 0, 0, 0)]),
            ("06:00:00", "08:30:00", vec![("06", 0, 0, 0), ("07", 0, 0, 0), ("08", 5, 5, 0)]),
        ];
        for (from, to, want) in cases {
            let want: Vec<SizePoint> = want
                .into_iter()
                .map(|(hour, size, entered, exited)| SizePoint {
                    at: format!("2026-11-20T{hour}:00:00.000Z"),
                    size,
                    entered,
                    exited,
                })
                .collect();
            assert_eq!(size_points(&changes, at(from), at(to)), want, "{from} to {to}");
        }
    }

    #[test]
    fn begun_hours_are_counted() {
        assert_eq!(hours(at("09:30:00"), at("12:00:00")), 3);
        assert_eq!(hours(at("09:30:00"), at("09:40:00")), 1);
    }
}

//! How and when each life of the server ends, from the seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The fail points at which the server is killed in turn, and how often it may pass each at most before. Each lies
/// between two steps that a crash must not tear apart; see `tributary_eventlog::fail_points`.
const POINTS: [(&str, u64); 7] = [
    ("segment::sync", 40),
    ("projector::activations_durable", 6),
    (REDO_SYNCED, 6),
    ("checkpoint::batch_applied", 12),
    ("checkpoint::store_applied", 6),
    ("checkpoint::redo_dropped", 6),
    (REBUILT, 1),
];

/// What is left by a kill here is applied by the next start, which is then killed too.
const REDO_SYNCED: &str = "checkpoint::redo_synced";
const RECOVERED: &str = "recovery::store_applied";

/// A rebuilt state is the one in use, and the process goes on with the one before. Only a rebuild leads there.
const REBUILT: &str = "rebuild::switched";

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// `kill -9`, after so many more acknowledged posts.
    Killed { posts: u64 },
    /// It kills itself when it comes to this fail point for the so-manieth time.
    AtPoint { name: &'static str, time: u64 },
    /// SIGTERM, after so many more acknowledged posts: only a stop in good order writes some things.
    Stopped { posts: u64 },
}

/// How long lives may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lives {
    /// At most so many posts in one.
    pub(super) posts_max: u64,
    /// How often a fail point may be passed is divided by this.
    pub(super) points_divisor: u64,
}

impl Ending {
    /// The value of `FAILPOINTS` for this life.
    pub(super) fn fail_points(self) -> Option<String> {
        match self {
            Self::AtPoint { name, time } => Some(format!("{name}={}*off->1*return(kill)", time - 1)),
            Self::Killed { .. } | Self::Stopped { .. } => None,
        }
    }

    /// Whether it takes a rebuild to come there.
    pub(super) fn needs_rebuild(self) -> bool {
        match self {
            Self::AtPoint { name, .. } => name == REBUILT,
            Self::Killed { .. } | Self::Stopped { .. } => false,
        }
    }
}

/// So many kills, at random times and at each fail point in turn, and a stop now and then.
pub(super) fn schedule(seed: u64, kills: usize, lives: Lives) -> Vec<Ending> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut endings = Vec::new();
    let mut left = kills;
    for (number, (name, times_max)) in POINTS.into_iter().cycle().enumerate() {
        if left == 0 {
            break;
        }
        let mut kill = |ending| {
            if left > 0 {
                left -= 1;
                endings.push(ending);
            }
        };
        let times_max = (times_max / lives.points_divisor).max(1);
        kill(Ending::AtPoint { name, time: random.random_range(1..=times_max) });
        if name == REDO_SYNCED {
            kill(Ending::AtPoint { name: RECOVERED, time: 1 });
        }
        if number % 3 == 2 {
            kill(Ending::Killed { posts: random.random_range(1..=lives.posts_max) });
        }
        if number % POINTS.len() == POINTS.len() - 1 {
            endings.push(Ending::Stopped { posts: random.random_range(1..=lives.posts_max) });
        }
    }
    endings
}

#[test]
fn ten_kills_meet_every_fail_point_and_follow_from_the_seed() {
    let lives = Lives { posts_max: 40, points_divisor: 1 };
    let is_kill = |ending: &&Ending| !matches!(ending, Ending::Stopped { .. });
    for kills in [0, 1, 4, 10, 200] {
        let endings = schedule(7, kills, lives);
        assert_eq!(endings.iter().filter(is_kill).count(), kills);
        assert_eq!(endings, schedule(7, kills, lives));
    }
    let ten = schedule(7, 10, lives);
    let meets =
        |point| ten.iter().any(|ending| matches!(ending, Ending::AtPoint { name, .. } if *name == point));
    assert!(POINTS.iter().map(|(name, _)| *name).chain([RECOVERED]).all(meets), "{ten:?}");
    assert!(ten.iter().any(|ending| matches!(ending, Ending::Killed { .. })));
    let after_redo = schedule(9, 200, lives).windows(2).all(|pair| match pair {
        [Ending::AtPoint { name: REDO_SYNCED, .. }, next] => {
            *next == Ending::AtPoint { name: RECOVERED, time: 1 }
        }
        _ => true,
    });
    assert!(after_redo, "what is left is recovered by the very next start");
    let shown = Ending::AtPoint { name: RECOVERED, time: 3 }.fail_points();
    assert_eq!(shown.as_deref(), Some("recovery::store_applied=2*off->1*return(kill)"));
}

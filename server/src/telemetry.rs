//! Logs and metrics of the process.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Upper bounds of the buckets of every histogram, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Starts writing logs to standard error: JSON lines, or text where a person watches. `directives` is what
/// `RUST_LOG` would hold; unreadable ones fall back to `info`.
pub fn start_logging(directives: &str) {
    let filter = EnvFilter::try_new(directives);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _started = if std::io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// The process's metrics. Installed once; every call answers with the same.
///
/// # Panics
/// If something else has installed a recorder.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
                .expect("the buckets are not empty")
                .install_recorder()
                .expect("nothing else installs a recorder")
        })
        .clone()
}

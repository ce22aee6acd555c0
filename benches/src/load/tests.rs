//! The generator against a real server in this process: the figures that it reports are those of the server.

use super::directory::Stamp;
use super::drive::{LoadArgs, Protocol, Rate};
use super::probe::ProbeArgs;
use super::run::{MeasureArgs, measure};
use super::server::Target;
use std::path::Path;
use tokio::runtime::Runtime;
use tributary_server::app::{self, Running};
use tributary_server::config::{Config, Environment, ServeArgs};
use tributary_server::credentials::Secret;

const TOKEN: &str = "an-admin-token-for-tests";
const WRITE_KEY: &str = "a-write-key-for-tests";
const WHOM: Stamp = Stamp { seed: 1, people: 50 };

fn start(runtime: &Runtime, data_dir: &Path) -> (Running, Target) {
    let free = || Some("127.0.0.1:0".to_owned());
    let args = ServeArgs {
        data_dir: Some(data_dir.to_owned()),
        http: free(),
        api: free(),
        grpc: free(),
        allow_private_destinations: true,
        ..ServeArgs::default()
    };
    let mut config = Config::load(&args, &Environment::default()).expect("a sound configuration");
    config.admin_token = Some(Secret::new(TOKEN));
    config.write_key = Some(Secret::new(WRITE_KEY));
    let running = runtime.block_on(app::start(config)).expect("the server starts");
    let target = Target {
        http: running.http,
        api: running.api,
        grpc: Some(running.grpc),
        write_key: WRITE_KEY.to_owned(),
        token: TOKEN.to_owned(),
        pid: Some(std::process::id()),
        data_dir: Some(data_dir.to_owned()),
        version: None,
    };
    (running, target)
}

fn args(protocol: Protocol, rate: Rate, batch: u32, gzip: bool) -> MeasureArgs {
    MeasureArgs {
        load: LoadArgs {
            rate,
            batch,
            connections: 4,
            protocol,
            gzip,
            seconds: 1,
            warm_up_seconds: 0,
            people: None,
            seed: None,
        },
        probes: ProbeArgs::default(),
        destination: false,
        events_per_request: 1,
        snapshot: false,
        linger_seconds: 0,
    }
}

#[test]
fn a_load_is_counted_alike_by_both_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (running, target) = start(&runtime, &directory.path().join("data"));
    let rate = Rate::PerSecond;
    let probes = ProbeArgs { probe_profile: Some(rate(20.0)), read_profiles: Some(rate(50.0)) };
    let probed = MeasureArgs { probes, ..args(Protocol::Http, rate(200.0), 1, false) };
    let batches = args(Protocol::Http, rate(400.0), 20, true);
    // The destination last: nobody receives for it afterwards.
    let cases = [
        ("flat out", args(Protocol::Http, Rate::Max, 1, false), "200", None),
        ("probed", probed, "200", Some(200)),
        ("gRPC", args(Protocol::Grpc, rate(400.0), 20, false), "OK", Some(400)),
        ("gRPC stream", args(Protocol::GrpcStream, rate(200.0), 1, false), "acknowledged", Some(200)),
        ("delivered", MeasureArgs { destination: true, snapshot: true, ..batches }, "200", Some(400)),
    ];
    for (name, args, answer, due) in cases {
        let report = measure(&target, &args, WHOM).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(report.accepted > 0 && report.event_bytes > 500 * report.accepted, "{name}: {report}");
        assert_eq!(report.answers.keys().collect::<Vec<_>>(), [answer], "{name}: {report}");
        if let Some(due) = due {
            assert_eq!(report.accepted + u64::from(args.load.batch) * report.unsent, due, "{name}: {report}");
        }
        assert!(report.road.settled, "{name}: {report}");
        assert_eq!(report.road.duplicates, 0, "{name}: {report}");
        assert!(report.road.projected >= report.accepted, "{name}: {report}");
        let delivered = if args.destination { report.road.projected } else { 0 };
        assert_eq!(report.road.delivered, delivered, "{name}: {report}");
        assert_eq!(report.road.delivery_requests, delivered, "{name}: {report}");
        assert_eq!(report.visible.is_some(), args.probes.probe_profile.is_some(), "{name}: {report}");
        assert_eq!(report.reads.is_some(), args.probes.read_profiles.is_some(), "{name}: {report}");
        let server = report.server.as_ref().expect("the process is known");
        assert!(server.disk.directory.contains_key("events"), "{name}: {report}");
    }
    runtime.block_on(running.stop()).expect("stopped in good order");
}

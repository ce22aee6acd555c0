use std::io::Write as _;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("a write");
    file
}

fn load(flags: &ServeArgs, variables: &[(&str, &str)], text: &str) -> Result<Config, ConfigError> {
    let file = file(text);
    let args = ServeArgs { config: Some(file.path().to_path_buf()), ..flags.clone() };
    Config::load(&args, &environment(variables))
}

#[test]
fn nothing_written_gives_the_defaults() {
    let config = Config::load(&ServeArgs::default(), &Environment::default()).expect("defaults are valid");
    assert_eq!(config.data_dir, Path::new("./data"));
    assert_eq!(config.http, "127.0.0.1:8080".parse().expect("an address"));
    assert_eq!(config.api, "127.0.0.1:8081".parse().expect("an address"));
    assert_eq!(config.grpc, "127.0.0.1:9090".parse().expect("an address"));
    assert!(!config.allow_private_destinations);
    assert_eq!((config.admin_token, config.write_key), (None, None));
    assert_eq!(config.ingest, IngestSettings::default());
    assert!(config.notices.is_empty());
}

#[test]
fn flags_win_then_the_environment_then_the_file() {
    let text = "http = '127.0.0.1:1'\napi = '127.0.0.1:2'\ngrpc = '127.0.0.1:3'\n\
        [ingest]\nbatch_events_max = 10\n[destinations]\nrequest_timeout_ms = 250\n";
    let flags = ServeArgs { http: Some("127.0.0.1:21".to_owned()), ..ServeArgs::default() };
    let variables = [
        ("TRIBUTARY_HTTP", "127.0.0.1:11"),
        ("TRIBUTARY_API", "127.0.0.1:12"),
        ("TRIBUTARY_INGEST_BATCH_EVENTS_MAX", "11"),
        ("TRIBUTARY_ALLOW_PRIVATE_DESTINATIONS", "true"),
    ];
    let config = load(&flags, &variables, text).expect("valid");
    assert_eq!([config.http, config.api, config.grpc].map(|address| address.port()), [21, 12, 3]);
    assert_eq!(config.ingest.batch_events_max, 11);
    assert_eq!(config.destinations.request_timeout, std::time::Duration::from_millis(250));
    assert!(config.allow_private_destinations);
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let file = file("data_dir = '/srv/tributary'\n");
    let path = file.path().to_str().expect("utf-8");
    let config = Config::load(&ServeArgs::default(), &environment(&[("TRIBUTARY_CONFIG", path)]));
    assert_eq!(config.expect("valid").data_dir, Path::new("/srv/tributary"));
}

/// Name, flags, environment, file, and what the error has to say.
type Case<'a> = (&'a str, ServeArgs, &'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);

#[test]
fn every_error_says_what_where_and_what_to_do() {
    let http = |text: &str| ServeArgs { http: Some(text.to_owned()), ..ServeArgs::default() };
    let none = ServeArgs::default();
    let cases: [Case<'_>; 12] = [
        ("unknown name", none.clone(), &[], "htpp = 'x'\n", &["unknown field `htpp`", "line 1", "`http`"]),
        ("unknown in a section", none.clone(), &[], "[log]\nsize = 1\n", &["unknown field `size`", "line 2"]),
        ("a secret in the file", none.clone(), &[], "admin_token = 'x'\n", &["unknown field `admin_token`"]),
        (
            "wrong type",
            none.clone(),
            &[],
            "[log]\nsegment_bytes = 'x'\n",
            &["segment_bytes", "line 2", "u64"],
        ),
        (
            "out of range",
            none.clone(),
            &[],
            "[log]\nsegment_bytes = 1\n",
            &["file", "log.segment_bytes", "from 1048576"],
        ),
        ("flag", http("localhost"), &[], "", &["flag --http", "\"localhost\"", "127.0.0.1:8080"]),
        (
            "variable",
            none.clone(),
            &[("TRIBUTARY_API", "1")],
            "",
            &["variable TRIBUTARY_API", "IP address and a port"],
        ),
        (
            "number",
            none.clone(),
            &[("TRIBUTARY_LOG_FRAME_BYTES", "1k")],
            "",
            &["TRIBUTARY_LOG_FRAME_BYTES", "1k", "whole number"],
        ),
        (
            "clash",
            http("127.0.0.1:8081"),
            &[],
            "",
            &["http and api are both 127.0.0.1:8081", "different ports"],
        ),
        (
            "clash of the third",
            none.clone(),
            &[("TRIBUTARY_GRPC", "127.0.0.1:8081")],
            "",
            &["variable TRIBUTARY_GRPC", "api and grpc are both 127.0.0.1:8081"],
        ),
        (
            "empty token",
            none.clone(),
            &[("TRIBUTARY_ADMIN_TOKEN", "")],
            "",
            &["TRIBUTARY_ADMIN_TOKEN", "is empty", "unset"],
        ),
        (
            "empty directory",
            none,
            &[("TRIBUTARY_DATA_DIR", "")],
            "",
            &["TRIBUTARY_DATA_DIR", "name a directory"],
        ),
    ];
    for (name, flags, variables, text, wanted) in cases {
        let error = load(&flags, variables, text).expect_err(name).to_string();
        for part in wanted {
            assert!(error.contains(part), "{name}: {part:?} is not in {error:?}");
        }
    }
    let missing = ServeArgs { config: Some("/does/not/exist.toml".into()), ..ServeArgs::default() };
    let error = Config::load(&missing, &Environment::default()).expect_err("no file").to_string();
    assert!(error.contains("flag --config") && error.contains("/does/not/exist.toml"), "{error}");
}

#[test]
fn secrets_are_never_printed() {
    let variables = [("TRIBUTARY_ADMIN_TOKEN", "very-secret-token"), ("TRIBUTARY_WRITE_KEY", "a-write-key")];
    let config = Config::load(&ServeArgs::default(), &environment(&variables)).expect("valid");
    assert_eq!(config.admin_token, Some(Secret::new("very-secret-token")));
    let printed = format!("{config:?}{}{:?}", config.to_toml(), environment(&variables));
    assert!(!printed.contains("very-secret-token") && !printed.contains("a-write-key"), "{printed}");
    assert!(config.to_toml().contains("# TRIBUTARY_ADMIN_TOKEN: ********"));
    let bad = environment(&[("TRIBUTARY_ADMIN_TOKEN", "very secret")]);
    let error = Config::load(&ServeArgs::default(), &bad).expect_err("a space").to_string();
    assert!(!error.contains("very secret"), "{error}");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let text = "data_dir = '/srv/x'\n[events]\nretention_seconds = 3600\n";
    let config =
        load(&ServeArgs::default(), &[("TRIBUTARY_STATE_SNAPSHOTS_KEPT", "7")], text).expect("valid");
    let again = load(&ServeArgs::default(), &[], &config.to_toml()).expect("its own output");
    assert_eq!(config, again);
    let numbered = settings().into_iter().filter(|setting| setting.key.contains('.'));
    for setting in numbered {
        let name = setting.key.rsplit('.').next().expect("a name");
        assert!(config.to_toml().contains(&format!("{name} = ")), "{} is not printed", setting.key);
    }
}

#[test]
fn short_tokens_and_misspelt_variables_are_noticed() {
    let variables = [("TRIBUTARY_ADMIN_TOKEN", "short"), ("TRIBUTARY_DATADIR", "x"), ("HOME", "x")];
    let config = Config::load(&ServeArgs::default(), &environment(&variables)).expect("valid");
    assert_eq!(config.notices.len(), 2, "{:?}", config.notices);
    assert!(config.notices.iter().any(|notice| notice.contains("TRIBUTARY_DATADIR")));
}

#[test]
fn every_setting_is_in_the_documentation_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = std::fs::read_to_string(path).expect("docs/configuration.md is there");
    let missing: Vec<String> = settings()
        .iter()
        .map(|setting| {
            let Setting { key, default, allowed, help } = setting;
            format!("| `{key}` | `{}` | {default} | {allowed} | {help} |", setting.variable())
        })
        .filter(|row| !text.contains(row.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "rows missing or out of date in docs/configuration.md:\n{}",
        missing.join("\n")
    );
    let rows = text.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, settings().len() + 1, "rows of settings that do not exist (one row is of `config`)");
}

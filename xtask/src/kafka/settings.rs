//! The settings of brokers for tests, as text.

use super::layout::Layout;
use std::fmt::Write;

/// Any 16 bytes in base64url: all clusters for tests have the same, because no two share a disk or a port.
pub(super) const CLUSTER_ID: &str = "RXlFA2y9TwaBJuU2vWVgcQ";

/// How brokers write their log: what went wrong, to the file that their output goes to.
pub(super) const LOG4J: &str = "\
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c - %m%n
";

/// `server.properties` of one broker, which is a controller as well.
///
/// Nothing is said about `log.flush.interval.messages`: Kafka answers once the page cache has a message, which is
/// what it does in production, and enough against `kill -9`.
pub(super) fn properties(layout: &Layout, number: u16) -> String {
    let broker = layout.broker(number);
    let controller = layout.controller(number);
    let voters = layout.numbers().map(|voter| format!("{voter}@{}", layout.controller(voter)));
    let voters = voters.collect::<Vec<_>>().join(",");
    let data = layout.data(number);
    // Three copies, two of which must have a message: one broker may be away without anything being refused.
    let copies = layout.brokers.min(3);
    let copies_min = copies.div_ceil(2);
    let mut text = String::new();
    let mut set = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{name}={value}").expect("a string takes everything");
    };
    set("process.roles", &"broker,controller");
    set("node.id", &number);
    set("controller.quorum.voters", &voters);
    set("listeners", &format!("PLAINTEXT://{broker},CONTROLLER://{controller}"));
    set("advertised.listeners", &format!("PLAINTEXT://{broker}"));
    set("inter.broker.listener.name", &"PLAINTEXT");
    set("controller.listener.names", &"CONTROLLER");
    set("listener.security.protocol.map", &"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT");
    set("log.dirs", &data.display());
    // A topic comes into being with the settings that its user asks for, or not at all.
    set("auto.create.topics.enable", &false);
    set("default.replication.factor", &copies);
    set("min.insync.replicas", &copies_min);
    set("offsets.topic.replication.factor", &copies);
    set("offsets.topic.num.partitions", &1);
    set("transaction.state.log.replication.factor", &copies);
    set("transaction.state.log.min.isr", &copies_min);
    set("transaction.state.log.num.partitions", &1);
    set("share.coordinator.state.topic.replication.factor", &copies);
    set("share.coordinator.state.topic.min.isr", &copies_min);
    set("group.initial.rebalance.delay.ms", &0);
    // A broker that is away is noticed within seconds, not after 9 and 30. A broker that was killed can't come
    // back earlier either: until then the controllers take it for a second one with the same id.
    set("broker.session.timeout.ms", &4000);
    set("broker.heartbeat.interval.ms", &500);
    set("replica.lag.time.max.ms", &4000);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn of(brokers: u16, number: u16) -> String {
        properties(&Layout::new(Path::new("/t/kafka"), 19_092, brokers), number)
    }

    fn value<'a>(text: &'a str, name: &str) -> &'a str {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} is not set"))
    }

    #[test]
    fn one_broker_is_alone() {
        let text = of(1, 1);
        let cases = [
            ("node.id", "1"),
            ("controller.quorum.voters", "1@127.0.0.1:19102"),
            ("listeners", "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19102"),
            ("log.dirs", "/t/kafka/run/19092/broker-1/data"),
            ("default.replication.factor", "1"),
            ("min.insync.replicas", "1"),
            ("offsets.topic.replication.factor", "1"),
            ("auto.create.topics.enable", "false"),
        ];
        for (name, want) in cases {
            assert_eq!(value(&text, name), want, "{name}");
        }
    }

    #[test]
    fn one_of_three_may_be_away() {
        let text = of(3, 2);
        let cases = [
            ("node.id", "2"),
            ("controller.quorum.voters", "1@127.0.0.1:19102,2@127.0.0.1:19103,3@127.0.0.1:19104"),
            ("advertised.listeners", "PLAINTEXT://127.0.0.1:19093"),
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("transaction.state.log.min.isr", "2"),
        ];
        for (name, want) in cases {
            assert_eq!(value(&text, name), want, "{name}");
        }
    }

    #[test]
    fn no_setting_is_there_twice() {
        let text = of(3, 1);
        let mut names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), text.lines().count()), (count, count));
    }
}

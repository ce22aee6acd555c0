//! Where a cluster for tests lies, on disk and on ports.
//!
//! The port of the first broker names the cluster: its folder is called by it. Brokers take that port and the
//! following ones, their controllers the ports from [`CONTROLLERS`] above.

use anyhow::{Context, Result};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// How far above the brokers' ports those of the controllers are.
pub(super) const CONTROLLERS: u16 = 10;

/// A cluster's size and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    folder: PathBuf,
    /// The port of broker 1.
    pub(super) port: u16,
    /// How many brokers there are; they are numbered from 1.
    pub(super) brokers: u16,
}

impl Layout {
    pub(super) fn new(home: &Path, port: u16, brokers: u16) -> Self {
        Self { folder: folder(home, port), port, brokers }
    }

    /// The layout of the cluster with this port, if one was made.
    pub(super) fn open(home: &Path, port: u16) -> Result<Option<Self>> {
        let path = folder(home, port).join("cluster.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)?;
        let value: serde_json::Value = serde_json::from_str(&text)?;
        let brokers = value["brokers"].as_u64().and_then(|brokers| u16::try_from(brokers).ok());
        let brokers = brokers.with_context(|| format!("{} does not tell the brokers", path.display()))?;
        Ok(Some(Self::new(home, port, brokers)))
    }

    /// Writes down what [`Self::open`] reads.
    pub(super) fn save(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(self.folder.join("cluster.json"), json!({"brokers": self.brokers}).to_string())?;
        Ok(())
    }

    /// The cluster's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that is locked while brokers are started or stopped. It stays when the folder goes.
    pub(super) fn lock(&self) -> PathBuf {
        self.folder.with_extension("lock")
    }

    /// The numbers of all brokers.
    pub(super) fn numbers(&self) -> std::ops::RangeInclusive<u16> {
        1..=self.brokers
    }

    /// The address of a broker.
    pub(super) fn broker(&self, number: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port + number - 1).into()
    }

    /// The address of a broker's controller.
    pub(super) fn controller(&self, number: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port + CONTROLLERS + number - 1).into()
    }

    /// What a client is given: the addresses of all brokers.
    pub(super) fn bootstrap(&self) -> String {
        self.numbers().map(|number| self.broker(number).to_string()).collect::<Vec<_>>().join(",")
    }

    /// The folder of a broker.
    fn of(&self, number: u16) -> PathBuf {
        self.folder.join(format!("broker-{number}"))
    }

    /// The data of a broker.
    pub(super) fn data(&self, number: u16) -> PathBuf {
        self.of(number).join("data")
    }

    /// The settings of a broker.
    pub(super) fn properties(&self, number: u16) -> PathBuf {
        self.of(number).join("server.properties")
    }

    /// What a broker says.
    pub(super) fn log(&self, number: u16) -> PathBuf {
        self.of(number).join("broker.log")
    }

    /// The record of a broker's process.
    pub(super) fn process(&self, number: u16) -> PathBuf {
        self.of(number).join("process")
    }

    /// How brokers write their log.
    pub(super) fn log4j(&self) -> PathBuf {
        self.folder.join("log4j2.properties")
    }
}

fn folder(home: &Path, port: u16) -> PathBuf {
    home.join("run").join(port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_each_other() {
        let layout = Layout::new(Path::new("/t/kafka"), 19_092, 3);
        assert_eq!(layout.bootstrap(), "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094");
        assert_eq!(layout.controller(3).to_string(), "127.0.0.1:19104");
        assert_eq!(layout.lock(), Path::new("/t/kafka/run/19092.lock"));
    }
}

//! A Prometheus that scrapes a gateway as `deploy/prometheus` says.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::workspace;
use crate::eventually::eventually;
use crate::gateway::Gateway;
use crate::port::free_port;
use crate::process::Process;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    url: String,
    http: Client,
    _directory: TempDir,
}

/// One series of an answer: its labels, and its samples as time and value.
#[derive(Debug, Clone)]
pub struct Series {
    /// The labels, the metric's name among them.
    pub labels: BTreeMap<String, String>,
    /// Seconds and values, the oldest first; of a query for one moment the only one.
    pub samples: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Starts Prometheus with the shipped configuration and rules; only address and intervals are others.
    ///
    /// # Panics
    /// When it is not installed, does not start, or is not ready within 60 s.
    pub async fn scraping(gateway: &Gateway) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let shipped = workspace().join("deploy/prometheus");
        for rules in ["recording.rules.yml", "alerts.rules.yml"] {
            std::fs::copy(shipped.join(rules), directory.path().join(rules)).expect("the rules are shipped");
        }
        let admin = gateway.admin().url().trim_start_matches("http://");
        let text = std::fs::read_to_string(shipped.join("prometheus.yml")).expect("the configuration is shipped");
        let text = text
            .replace("127.0.0.1:8081", admin)
            .replace("_interval: 15s", "_interval: 500ms");
        assert!(
            text.contains(admin) && text.contains("500ms"),
            "the example was changed: {text}"
        );
        std::fs::write(directory.path().join("prometheus.yml"), text).expect("the directory was just made");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus");
        command.current_dir(directory.path()).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            &format!("--web.listen-address={address}"),
        ]);
        let prometheus = Self {
            process: Process::start("prometheus", &command),
            url: format!("http://{address}"),
            http: Client::new(),
            _directory: directory,
        };
        eventually("Prometheus is ready", Duration::from_secs(60), || async {
            let process = &prometheus.process;
            assert!(process.is_running(), "Prometheus ended:\n{}", process.tail());
            let answer = prometheus.http.get(format!("{}/-/ready", prometheus.url)).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        prometheus
    }

    /// Returns where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Evaluates a query now.
    ///
    /// # Panics
    /// When Prometheus does not take the query.
    pub async fn query(&self, query: &str) -> Vec<Series> {
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let url = format!("{}/api/v1/query?query={encoded}", self.url);
        let answer = self.http.get(url).send().await.expect("Prometheus answers");
        let answer: Value = answer.json().await.expect("Prometheus answers with JSON");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().expect("a query gives series");
        series.iter().map(read_series).collect()
    }

    /// Returns the latest value of each series, by one label.
    ///
    /// # Panics
    /// When Prometheus does not take the query.
    pub async fn by_label(&self, query: &str, label: &str) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for series in self.query(query).await {
            let name = series.labels.get(label).cloned().unwrap_or_default();
            values.insert(name, series.samples[0].1);
        }
        values
    }
}

fn read_series(series: &Value) -> Series {
    let labels = serde_json::from_value(series["metric"].clone()).expect("labels are strings");
    let read =
        |sample: &Value| -> Option<(f64, f64)> { Some((sample[0].as_f64()?, sample[1].as_str()?.parse().ok()?)) };
    let samples = match series["values"].as_array() {
        Some(samples) => samples.iter().filter_map(read).collect(),
        None => read(&series["value"]).into_iter().collect(),
    };
    Series { labels, samples }
}

//! Metric families whose every series exists from the start and is reached without a look-up.
//!
//! A series that appears only with its first event breaks rates and alerts: the first event is never seen.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::label::Label;

/// The series of a family by one label.
#[derive(Debug)]
pub struct Row<M, L> {
    series: Box<[M]>,
    label: PhantomData<fn(L)>,
}

/// Counters by one label.
pub type CounterRow<L> = Row<IntCounter, L>;

/// Gauges by one label.
pub type GaugeRow<L> = Row<IntGauge, L>;

/// Histograms by one label, in seconds.
pub type HistogramRow<L> = Row<Histogram, L>;

impl<M, L: Label> Row<M, L> {
    fn new(series: impl Fn(&str) -> M) -> Self {
        Self {
            series: L::ALL.iter().map(|value| series(value.text())).collect(),
            label: PhantomData,
        }
    }

    /// Returns the series of one label value.
    pub fn of(&self, value: L) -> &M {
        &self.series[value.index()]
    }
}

impl<L: Label> CounterRow<L> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str, label: &str) -> Self {
        let family = register(registry, IntCounterVec::new(Opts::new(name, help), &[label]));
        Self::new(|value| family.with_label_values(&[value]))
    }

    /// Takes the counters of a family that has another label first, each at zero.
    pub(super) fn of_family(family: &IntCounterVec, first: &str) -> Self {
        Self::new(|value| family.with_label_values(&[first, value]))
    }
}

impl<L: Label> GaugeRow<L> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str, label: &str) -> Self {
        let family = register(registry, IntGaugeVec::new(Opts::new(name, help), &[label]));
        Self::new(|value| family.with_label_values(&[value]))
    }
}

impl<L: Label> HistogramRow<L> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str, label: &str, buckets: &[f64]) -> Self {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let family = register(registry, HistogramVec::new(options, &[label]));
        Self::new(|value| family.with_label_values(&[value]))
    }
}

/// Counters by two labels.
#[derive(Debug)]
pub struct CounterGrid<A, B> {
    series: Box<[IntCounter]>,
    labels: PhantomData<fn(A, B)>,
}

impl<A: Label, B: Label> CounterGrid<A, B> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str, labels: [&str; 2]) -> Self {
        let family = register(registry, IntCounterVec::new(Opts::new(name, help), &labels));
        let series = A::ALL
            .iter()
            .flat_map(|a| B::ALL.iter().map(move |b| (a, b)))
            .map(|(a, b)| family.with_label_values(&[a.text(), b.text()]))
            .collect();
        Self {
            series,
            labels: PhantomData,
        }
    }

    /// Returns the counter of one pair of label values.
    pub fn of(&self, a: A, b: B) -> &IntCounter {
        &self.series[a.index() * B::ALL.len() + b.index()]
    }
}

/// Registers a collector of ours.
pub(super) fn register<C>(registry: &Registry, collector: prometheus::Result<C>) -> C
where
    C: Collector + Clone + 'static,
{
    let collector = collector.expect("names and labels of ours are well-formed");
    registry
        .register(Box::new(collector.clone()))
        .expect("names of ours are unique");
    collector
}

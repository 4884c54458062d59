//! Which drains are let in beside those that there are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use handover_protocol::admin::{DrainRequest, DrainState, ServerView};
use handover_protocol::{DrainId, ServerName};

use super::desk::Drains;
use super::job::Job;
use super::newcomers::newcomers_after;
use super::plan::DrainPlan;
use super::record::DrainRecord;
use super::refusal::StartError;

impl Drains {
    /// Reserves the drain's place, so that nothing that conflicts with it can come in while it is being kept.
    ///
    /// What a repeated call is compared with is what was asked for: what that leaves out may have changed since.
    pub(super) fn admit(&self, asked: DrainRequest, key: Option<String>) -> Result<(Arc<Job>, bool), StartError> {
        let servers = self.fleet.servers();
        let mut jobs = self.jobs();
        if let Some(job) = key
            .as_ref()
            .and_then(|key| jobs.values().find(|job| job.key.as_ref() == Some(key)))
        {
            return if job.original == asked {
                Ok((Arc::clone(job), false))
            } else {
                Err(StartError::KeyReused { id: job.id.clone() })
            };
        }
        if let Some(job) = named(&jobs, &asked)? {
            return Ok((job, false));
        }
        let request = self.defaults.load().complete(&asked);
        let plan = DrainPlan::new(&request, &servers)?;
        self.check(&jobs, &plan, &servers)?;
        let number = 1 + jobs.values().map(|job| job.number).max().unwrap_or_default();
        let mut id = asked.id.clone().unwrap_or_else(random_id);
        loop {
            match jobs.entry(id) {
                Entry::Vacant(place) => {
                    let id = place.key().clone();
                    let job = Job::new(
                        id,
                        number,
                        asked,
                        request,
                        key,
                        plan,
                        self.configured_release.load().as_ref().clone(),
                    );
                    return Ok((Arc::clone(place.insert(Arc::new(job))), true));
                }
                Entry::Occupied(_) => id = random_id(),
            }
        }
    }

    /// Finds the drain that the same request has started already.
    pub(super) fn started_before(&self, asked: &DrainRequest) -> Option<Arc<Job>> {
        named(&self.jobs(), asked).ok().flatten()
    }

    /// Says why a request that makes sense would be refused now.
    pub(super) fn refusal(&self, request: &DrainRequest) -> Option<StartError> {
        let servers = self.fleet.servers();
        let jobs = self.jobs();
        if let Some(id) = request.id.as_ref().filter(|id| jobs.contains_key(*id)) {
            return Some(StartError::Exists { id: id.clone() });
        }
        let plan = match DrainPlan::new(request, &servers) {
            Ok(plan) => plan,
            Err(error) => return Some(error.into()),
        };
        self.check(&jobs, &plan, &servers).err()
    }

    /// Checks a plan against the servers and the drains as they are now.
    pub(super) fn check(
        &self,
        jobs: &BTreeMap<DrainId, Arc<Job>>,
        plan: &DrainPlan,
        servers: &[ServerView],
    ) -> Result<(), StartError> {
        let is_running = |job: &&Arc<Job>| !job.state().is_over();
        let mut running = jobs.values().filter(is_running);
        if let Some(running) = running.find(|job| job.plan.conflicts_with(plan)) {
            return Err(StartError::Conflict {
                running: running.id.clone(),
            });
        }
        if !plan.targets.iter().any(|target| self.fleet.is_ready(target)) {
            let targets = plan.targets.iter().map(|target| why_not(target, servers)).collect();
            return Err(StartError::NoTarget { targets });
        }
        self.check_home(jobs, plan, servers)
    }

    /// Sees to it that new boards would still find a server, where they do now.
    fn check_home(
        &self,
        jobs: &BTreeMap<DrainId, Arc<Job>>,
        plan: &DrainPlan,
        servers: &[ServerView],
    ) -> Result<(), StartError> {
        if plan.release.is_some() {
            return Ok(());
        }
        let drains: Vec<(DrainState, DrainRecord)> = jobs.values().map(|job| (job.state(), job.record())).collect();
        let newcomers = newcomers_after(&drains, &self.configured_release.load());
        let takes = |server: &&ServerView| {
            server.ready && server.release == newcomers.release && !newcomers.closed.contains(&server.name)
        };
        let mut homes = servers.iter().filter(takes).peekable();
        if homes.peek().is_some() && homes.all(|home| plan.sources.contains(&home.name)) {
            let release = newcomers.release;
            return Err(StartError::NoHome { release });
        }
        Ok(())
    }
}

/// Finds the drain of the request's id, which has to be of the same request.
fn named(jobs: &BTreeMap<DrainId, Arc<Job>>, asked: &DrainRequest) -> Result<Option<Arc<Job>>, StartError> {
    match asked.id.as_ref().and_then(|id| jobs.get(id)) {
        Some(job) if job.original == *asked => Ok(Some(Arc::clone(job))),
        Some(job) => Err(StartError::Exists { id: job.id.clone() }),
        None => Ok(None),
    }
}

/// Says what is the matter with a target that is not ready.
fn why_not(target: &ServerName, servers: &[ServerView]) -> String {
    let view = servers.iter().find(|server| server.name == *target);
    match view.and_then(|view| view.reason.as_deref()) {
        Some(reason) => format!("{target}: {reason}"),
        None => target.to_string(),
    }
}

/// Names a drain whose caller did not.
fn random_id() -> DrainId {
    let mut bytes = [0; 8];
    // The operating system's source fails only before it was ever seeded.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let text = format!("drain-{:016x}", u64::from_be_bytes(bytes));
    text.parse().expect("hexadecimal digits behind a word")
}

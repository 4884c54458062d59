//! The composition root: puts the gateway together, runs it, and takes it down in order.
//!
//! ```text
//!   config ─▶ registry, servers ─▶ boards ─▶ mover ─▶ drains ─▶ admin
//!                                     └────────────────────────▶ edge
//! ```

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use handover_protocol::CoordinatorId;
use handover_protocol::admin::ServerOrigin;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::admin::{self, Access, Admin, AdminListener, Readiness, ReloadDesk, admin_threads};
use crate::board::{Boards, Placer};
use crate::cli::ServeArgs;
use crate::config::{AdminAddress, Config, Overrides, Reading, ServerConfig};
use crate::drain::{Drains, Fleet};
use crate::edge::{Edge, HandedSockets, Listeners, raise_open_files};
use crate::fleet::GatewayFleet;
use crate::mover::Mover;
use crate::registry::{EmbeddedRegistry, ObservedRegistry, Registry};
use crate::reload::{Keys, Reloader, reload_on_hangup};
use crate::supervisor;
use crate::telemetry::{self, LogFilter, Metrics};
use crate::tls::{Acceptor, Certificates, OperatorsAcceptor, OperatorsFiles, note_ends};
use crate::upstream::{Poller, ServerMemory, Servers};

/// Runs `handover serve` to its end.
pub fn run(args: &ServeArgs) -> ExitCode {
    let reading = Reading::load(&args.config, &Overrides::of_process());
    let (config, warnings) = match reading.outcome {
        Ok(loaded) => loaded,
        Err(faults) => {
            say(&format!("{faults}"));
            return ExitCode::FAILURE;
        }
    };
    // Before there is any thread, that of the log included: it changes the environment.
    let handed = match HandedSockets::from_environment() {
        Ok(handed) => handed,
        Err(error) => {
            say(&format!("handover: {}", chain(&error)));
            return ExitCode::FAILURE;
        }
    };
    let log = match telemetry::init(args.log.as_deref(), &config.log.filter, args.log_format) {
        Ok(log) => log,
        Err(error) => {
            let way_out = "write for example --log info or --log info,handover_gateway=debug";
            say(&format!("handover: {}; {way_out}", chain(&error)));
            return ExitCode::FAILURE;
        }
    };
    let source = ConfigSource {
        file: args.config.clone(),
        keys: Keys::of(&reading.settings),
        log: log.filter.clone(),
    };
    for warning in warnings {
        warn!(file = %args.config.display(), "{warning}");
    }
    raise_open_files();
    let runtimes = Builder::new_multi_thread().enable_all().build();
    let (runtime, admin_runtime) = match runtimes.and_then(|runtime| Ok((runtime, admin_threads()?))) {
        Ok(runtimes) => runtimes,
        Err(error) => {
            say(&format!("handover: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(Arc::new(config), source, handed, admin_runtime.handle())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("handover: {}", chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Where the configuration came from, to be read anew.
struct ConfigSource {
    file: PathBuf,
    keys: Keys,
    log: LogFilter,
}

async fn serve(
    config: Arc<Config>,
    source: ConfigSource,
    handed: HandedSockets,
    admin_runtime: &Handle,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let shutdown = CancellationToken::new();
    let (jobs, sessions) = (TaskTracker::new(), TaskTracker::new());
    let metrics = Arc::new(Metrics::new(&config.metrics)?);
    let listeners = Listeners::bind(&config.listen, handed)?;
    let operators = match &config.admin.tls {
        Some(tls) => Some(OperatorsAcceptor::new(
            OperatorsFiles::load(tls)?,
            config.limits.tls_handshake_timeout,
        )),
        None => None,
    };
    let address = config.listen.admin.clone();
    let admin_listener = admin_runtime
        .spawn(async move { AdminListener::bind(&address).await })
        .await??;
    let admin_listener = admin_listener.secured(operators.clone());
    let file = config.registry.file.clone();
    let syncs = metrics.registry_sync_seconds.clone();
    let told = Box::new(move |took: Duration| syncs.observe(took.as_secs_f64()));
    let store = tokio::task::spawn_blocking(move || EmbeddedRegistry::open_watched(&file, told)).await??;
    let registry: Arc<dyn Registry> = Arc::new(ObservedRegistry::new(store, Arc::clone(&metrics)));
    let servers = Servers::new(&config.servers, &config.limits, &metrics);
    for (name, record) in registry.servers().await? {
        match (servers.get(&name), ServerMemory::decode(&record)) {
            (Some(server), Ok(memory)) => server.remember(memory),
            (Some(_), Err(error)) => error!(server = %name, %error, "the registry's record of a server is damaged"),
            (None, Ok(memory)) => {
                // Without a naming it has left the configuration; should it come back, what was said of it still holds.
                let Some(named) = &memory.named else { continue };
                match ServerConfig::named(name.clone(), named, &servers.system_roots()) {
                    Ok(config) => servers.put(config, ServerOrigin::Api).remember(memory),
                    Err(error) => error!(server = %name, %error, "a server that the admin API named cannot be used"),
                }
            }
            (None, Err(error)) => error!(server = %name, %error, "the registry's record of a server is damaged"),
        }
    }
    let poller = Poller {
        health: config.health,
        boards_interval: config.limits.boards_interval,
        tasks: jobs.clone(),
        shutdown: shutdown.clone(),
        metrics: Arc::clone(&metrics),
    };
    servers.all().iter().for_each(|server| poller.start(server));
    let boards = Boards::new(
        registry.load().await?,
        Arc::clone(&servers),
        Arc::clone(&registry),
        coordinator(),
        Arc::clone(&metrics),
        Placer::new(config.releases.current.clone(), jobs.clone()),
        sessions.clone(),
    );
    let first_route = config.routes.first().ok_or("the configuration has no route")?;
    let mover = Mover::new(
        Arc::clone(&boards),
        Arc::clone(&servers),
        Arc::clone(&metrics),
        Arc::clone(first_route),
        jobs.clone(),
    );
    mover.set_routes(config.routes.clone());
    mover.set_move_interval(config.drain.board_move_interval);
    let gateway_fleet = Arc::new(GatewayFleet {
        boards: Arc::clone(&boards),
        servers: Arc::clone(&servers),
        mover: Arc::clone(&mover),
        registry: Arc::clone(&registry),
        metrics: Arc::clone(&metrics),
        poller,
        naming: tokio::sync::Mutex::default(),
    });
    let fleet: Arc<dyn Fleet> = gateway_fleet.clone();
    let drains = Drains::new(
        config.releases.current.clone(),
        Arc::clone(&fleet),
        Arc::clone(&registry),
        Arc::clone(&metrics),
        jobs.clone(),
        shutdown.clone(),
    );
    drains.configure_defaults(&config.drain.defaults);
    let readiness = Arc::new(Readiness::new(shutdown.clone()));
    let traffic = listeners.addresses()?;
    let admin_address = admin_listener.address()?;
    let access = Access::new(config.admin.clone());
    let (reload, reload_orders) = ReloadDesk::open();
    let hangups = reload_on_hangup(reload.clone(), shutdown.clone())?;
    let admin = Admin {
        drains: Arc::clone(&drains),
        fleet: Arc::clone(&fleet),
        metrics: Arc::clone(&metrics),
        readiness: Arc::clone(&readiness),
        reload,
        access: Arc::clone(&access),
        home: Handle::current(),
    };
    jobs.spawn_on(
        admin::serve(admin_listener, admin, jobs.clone(), shutdown.clone()),
        admin_runtime,
    );

    supervisor::tell_status("asking the servers which boards they own");
    // A server that does not answer in time is taken for what the registry knew of it.
    let _ = timeout(FIRST_ANSWERS, servers.asked()).await;
    mover.recover().await;
    drains.resume().await?;
    mover.watch_deaths(&shutdown);
    jobs.spawn(keep_tidy(
        Arc::clone(&mover),
        config.limits.boards_interval,
        shutdown.clone(),
    ));

    let certificates = match config.listen.traffic_tls.is_empty() {
        true => None,
        false => Some(Certificates::load(&config.tls)?),
    };
    let acceptor = match &certificates {
        Some(certificates) => {
            let patience = config.limits.tls_handshake_timeout;
            Some(Acceptor::new(Arc::clone(certificates), patience)?)
        }
        None => None,
    };
    let shown = note_ends(certificates.as_deref(), operators.as_deref(), &metrics);
    let edge = Edge::new(
        Arc::clone(&config),
        Arc::clone(&boards),
        Arc::clone(&metrics),
        acceptor,
        shutdown.clone(),
    );
    let config = Arc::new(ArcSwap::new(config));
    let watched = Arc::clone(&fleet);
    let reloader = Reloader {
        file: source.file,
        config: Arc::clone(&config),
        keys: source.keys,
        edge: Arc::clone(&edge),
        mover: Arc::clone(&mover),
        drains,
        fleet: gateway_fleet,
        servers,
        certificates,
        shown,
        operators,
        access,
        log: source.log,
        metrics,
    };
    jobs.spawn(reloader.run(reload_orders, shutdown.clone()));
    jobs.spawn(hangups);
    let serving = tokio::spawn(async move { edge.run(listeners).await });
    readiness.set_serving();
    announce(&traffic, &admin_address);
    supervisor::tell_ready(&supervisor::status_of(watched.as_ref()));
    // Not among the jobs: whoever watches wants to hear of the shutdown too.
    tokio::spawn(supervisor::keep_told(watched));

    wait_for_signal().await?;
    let grace = config.load().shutdown.grace;
    info!(?grace, "ending: no newcomers, and sessions are told to reconnect");
    supervisor::tell_stopping();
    shutdown.cancel();
    jobs.close();
    sessions.close();
    let gracefully = async {
        for board in boards.all() {
            for session in board.sessions() {
                session.cut();
            }
        }
        let _ = serving.await;
        sessions.wait().await;
        jobs.wait().await;
    };
    tokio::select! {
        ended = timeout(grace, gracefully) => {
            if ended.is_err() {
                warn!("shutdown.grace is over; what is still open is cut");
            }
        }
        signal = wait_for_signal() => {
            signal?;
            warn!("told again to end; what is still open is cut");
        }
    }
    info!("ended");
    Ok(())
}

async fn keep_tidy(mover: Arc<Mover>, every: Duration, shutdown: CancellationToken) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        mover.tidy().await;
    }
}

async fn wait_for_signal() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Says on stdout, in one line of JSON, where the gateway listens: port 0 takes a free one.
fn announce(traffic: &[SocketAddr], admin: &AdminAddress) {
    let listed: Vec<String> = traffic.iter().map(ToString::to_string).collect();
    info!(traffic = listed.join(","), %admin, "serving");
    let line = serde_json::json!({ "traffic": traffic, "admin": admin.to_string() });
    // Nobody may be reading: then a full pipe holds up this thread only.
    thread::spawn(move || {
        let _ = writeln!(std::io::stdout(), "{line}");
    });
}

fn say(text: &str) {
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some errors show their cause and name it as well.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

fn coordinator() -> CoordinatorId {
    let number = getrandom::u64().expect("the system has randomness at the start of a server");
    format!("{number:016x}")
        .parse()
        .expect("hexadecimal digits are a coordinator's id")
}

/// How long the start waits for servers that do not answer.
const FIRST_ANSWERS: Duration = Duration::from_secs(3);

//! Reads `[listen]`.

use std::net::SocketAddr;
use std::path::Path;

use super::networks::{read_forwarding_headers, read_networks};
use super::tree::{Item, Section};
use crate::config::admin::UNIX_PREFIX;
use crate::config::{AdminAddress, AdminConfig, Listen};

pub(super) fn read_listen(mut section: Section<'_>, access: &AdminConfig, folder: &Path) -> Option<Listen> {
    let traffic_tls = section.take("traffic_tls");
    let traffic = if traffic_tls.is_some() {
        section.take("traffic")
    } else {
        section.require("traffic", "[\"127.0.0.1:8080\"]")
    };
    let admin = section.require("admin", "\"127.0.0.1:8081\"");
    let proxy_protocol = read_networks(&mut section, "proxy_protocol", "can say in anybody's name who they are");
    let trusted_proxies = read_networks(
        &mut section,
        "trusted_proxies",
        "is believed whatever it says of others",
    );
    let forwarding_headers = read_forwarding_headers(&mut section, &trusted_proxies);
    section.close();
    let mut addresses = Vec::new();
    let spot = traffic.as_ref().or(traffic_tls.as_ref()).map(|item| item.spot.clone());
    let is_whole = spot.is_some();
    let tls = traffic_tls.map_or(Some(Vec::new()), |item| read_traffic(&item, &mut addresses));
    let traffic = traffic.map_or(Some(Vec::new()), |item| read_traffic(&item, &mut addresses));
    if let (Some(spot), Some([]), Some([])) = (spot, traffic.as_deref(), tls.as_deref()) {
        spot.fault("is empty", "name at least one address: [\"127.0.0.1:8080\"]");
    }
    let admin = admin.and_then(|item| Some((read_admin(&item, folder)?, item)));
    match &admin {
        Some((AdminAddress::Tcp(address), item)) => check_admin(*address, access, &addresses, item),
        Some((AdminAddress::Unix(_), item)) if access.tls.is_some() => {
            let fix =
                "name an address such as \"0.0.0.0:8081\", or remove [admin.tls] and [[admin.client_certificates]]";
            item.spot
                .fault("is a socket in the file system, which speaks no TLS", fix);
        }
        Some((AdminAddress::Unix(_), _)) | None => {}
    }
    Some(Listen {
        traffic: traffic.filter(|_| is_whole)?,
        traffic_tls: tls?,
        admin: admin?.0,
        proxy_protocol,
        trusted_proxies,
        forwarding_headers,
    })
}

/// Reads addresses, and adds them to those that are `taken`.
fn read_traffic(item: &Item<'_>, taken: &mut Vec<SocketAddr>) -> Option<Vec<SocketAddr>> {
    let items = item.list()?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for item in &items {
        let Some(address) = read_address(item) else { continue };
        if taken.iter().any(|earlier| collide(*earlier, address)) {
            item.spot.fault(
                "is taken by an address before it",
                "remove one of the two, or change its port",
            );
        }
        taken.push(address);
        addresses.push(address);
    }
    (addresses.len() == items.len()).then_some(addresses)
}

fn read_admin(item: &Item<'_>, folder: &Path) -> Option<AdminAddress> {
    let Some(path) = item.text()?.strip_prefix(UNIX_PREFIX) else {
        return read_address(item).map(AdminAddress::Tcp);
    };
    let path = folder.join(path);
    let problem = match path.parent() {
        Some(folder) if !folder.is_dir() => format!("lies in a folder that does not exist: {}", folder.display()),
        _ if path.is_dir() => "is a folder".to_owned(),
        _ if path.as_os_str().len() > SOCKET_PATH_MAX => format!("is longer than {SOCKET_PATH_MAX} bytes"),
        _ => return Some(AdminAddress::Unix(path)),
    };
    let fix = "name a socket in a folder of the gateway's own, such as \"unix:/run/handover/admin.sock\"";
    item.spot.fault(problem, fix);
    None
}

fn read_address(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.text()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let fix = match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("write \"127.0.0.1:{port}\""),
        Some(("" | "*", port)) => format!("write \"0.0.0.0:{port}\" for all interfaces"),
        Some(_) | None => "write an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"".into(),
    };
    item.spot.fault("is not an address with a port", fix);
    None
}

fn check_admin(admin: SocketAddr, access: &AdminConfig, traffic: &[SocketAddr], item: &Item<'_>) {
    if !admin.ip().is_loopback() && !access.asks_who() {
        let fix = format!(
            "use \"127.0.0.1:{}\" or \"unix:/run/handover/admin.sock\", or add [[admin.tokens]] with name, token_file and \
             scope",
            admin.port()
        );
        let problem = "lets anybody who reaches it move boards: there are neither tokens nor client certificates";
        item.spot.fault(problem, fix);
    } else if !admin.ip().is_loopback() && access.tls.is_none() {
        let fix = "add [admin.tls] with certificate_file and key_file: tokens can be read on the way";
        item.spot.warning("is neither loopback nor TLS", fix);
    }
    if traffic.iter().any(|address| collide(*address, admin)) {
        item.spot.fault(
            "is an address of listen.traffic or listen.traffic_tls too",
            "give the admin listener a port of its own",
        );
    }
}

/// Linux and the BSDs take 104 bytes or more.
const SOCKET_PATH_MAX: usize = 100;

/// Reads whether two listeners would want the same port of the same interface; port 0 takes any that is free.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_interface = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_interface
}

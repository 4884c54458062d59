//! A server as it is named through the admin API, held to the rules of the configuration file.

use std::path::Path;

use handover_protocol::ServerName;
use handover_protocol::admin::ServerRequest;

use super::{Allotment, Control, ControlToken, ServerConfig, ServerUrl};

/// Says what of a server's naming cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct NamedFault {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it, and the way out.
    pub problem: String,
}

impl ServerConfig {
    /// Reads how a server is named, and the token's file where one is named.
    ///
    /// # Errors
    /// At the first thing that is wrong.
    pub fn named(name: ServerName, request: &ServerRequest) -> Result<Self, NamedFault> {
        Ok(Self {
            name,
            url: url(&request.url, "url")?,
            control: control(request)?,
            release: request.release.clone(),
            allotment: allotment(request)?,
        })
    }
}

fn url(text: &str, field: &'static str) -> Result<ServerUrl, NamedFault> {
    text.parse()
        .map_err(|error| fault(field, format!("{error}; write http://host:port and nothing behind it")))
}

fn control(request: &ServerRequest) -> Result<Option<Control>, NamedFault> {
    let file = request.control_token_file.as_deref();
    let Some(text) = &request.control_url else {
        return match file {
            Some(_) => Err(fault("control_token_file", "is for no control URL; add control_url")),
            None => Ok(None),
        };
    };
    let url = url(text, "control_url")?;
    let token = file.map(token).transpose()?;
    if !url.is_loopback() && token.is_none() {
        let problem = "leaves this machine without a token; add control_token_file, and give the server the same token";
        return Err(fault("control_url", problem));
    }
    Ok(Some(Control { url, token }))
}

fn token(file: &str) -> Result<ControlToken, NamedFault> {
    const FIELD: &str = "control_token_file";
    if !Path::new(file).is_absolute() {
        return Err(fault(FIELD, "is no absolute path; it is read on the gateway's machine"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fault(FIELD, format!("cannot be read: {error}")))?;
    text.parse().map_err(|error| {
        fault(
            FIELD,
            format!("names a file that {error}; put the token on one line and nothing else"),
        )
    })
}

fn allotment(request: &ServerRequest) -> Result<Allotment, NamedFault> {
    if request.weight > Allotment::WEIGHT_MAX {
        let problem = format!("is out of bounds; choose from 0 to {}", Allotment::WEIGHT_MAX);
        return Err(fault("weight", problem));
    }
    if request
        .capacity
        .is_some_and(|capacity| !(1..=Allotment::CAPACITY_MAX).contains(&capacity))
    {
        let problem = format!("is out of bounds; choose from 1 to {}", Allotment::CAPACITY_MAX);
        return Err(fault("capacity", problem));
    }
    let (names, values) = (Allotment::LABEL_NAME_BYTES_MAX, Allotment::LABEL_BYTES_MAX);
    let fits = |(name, value): (&String, &String)| (1..=names).contains(&name.len()) && value.len() <= values;
    if request.labels.len() > Allotment::LABELS_MAX || !request.labels.iter().all(fits) {
        let most = Allotment::LABELS_MAX;
        let problem =
            format!("are more than {most}, or one has no name of 1 to {names} bytes or more than {values} bytes");
        return Err(fault("labels", problem));
    }
    Ok(Allotment {
        weight: request.weight,
        capacity: request.capacity,
        labels: request.labels.clone(),
    })
}

fn fault(field: &'static str, problem: impl Into<String>) -> NamedFault {
    NamedFault {
        field,
        problem: problem.into(),
    }
}

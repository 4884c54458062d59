//! The whole edge over real sockets: raw clients in front, real and scripted servers behind.

mod gates;
mod gateway;
mod handshakes;
mod requests;
mod servers;

//! The whole edge over real sockets: raw clients in front, real and scripted servers behind.

mod gateway;
mod handshakes;
mod requests;
mod servers;

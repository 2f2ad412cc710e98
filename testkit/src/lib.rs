//! What a test of the running service needs, and nothing of the service itself.
//!
//! Private PostgreSQL clusters, Redis and NATS servers, the real binary as a child process, a lean HTTP client, a webhook
//! receiver that keeps a journal and misbehaves as told, certificates and a name server that lie, a proxy that breaks database connections at chosen points, and one
//! that makes them longer.
//! Everything here talks to the outside of the service, so that a test made with it proves the
//! contract: no crate of the service may be imported.
//!
//! Every child process dies with the process that started it, however that ends.

pub mod broker;
pub mod database;
pub mod delay;
pub mod http;
pub mod names;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod server;
pub mod signature;
pub mod tls;

pub use broker::Broker;
pub use database::Database;
pub use delay::Delay;
pub use names::NameServer;
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use receiver::Receiver;
pub use server::{Installation, Server};

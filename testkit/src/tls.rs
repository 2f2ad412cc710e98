//! HTTPS before a plain receiver, with a certificate that is good, expired, or vouched for by nobody.
//!
//! The authority is the test's own: a service that is to trust it gets its certificate as a file.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A certificate and its key, ready to be presented.
type Identity = Arc<ServerConfig>;

/// Vouches for certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        // Not the name that a certificate signed by itself has.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Writes its certificate for those who are to trust it (`SSL_CERT_FILE`).
    pub fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, &self.pem).with_context(|| format!("can't write {}", path.display()))
    }

    /// A certificate for an address that it vouches for.
    pub fn good(&self, address: IpAddr) -> Result<Identity> {
        self.signed(&CertificateParams::new([address.to_string()])?)
    }

    /// One that it vouched for, until years ago.
    pub fn expired(&self, address: IpAddr) -> Result<Identity> {
        let mut params = CertificateParams::new([address.to_string()])?;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.signed(&params)
    }

    /// One that it vouches for, for another name.
    pub fn misnamed(&self) -> Result<Identity> {
        self.signed(&CertificateParams::new(["other.test".to_owned()])?)
    }

    fn signed(&self, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        identity(&params.signed_by(&key, &self.issuer)?, &key)
    }
}

/// A certificate for an address that only it vouches for itself.
pub fn self_signed(address: IpAddr) -> Result<Identity> {
    let key = KeyPair::generate()?;
    identity(&CertificateParams::new([address.to_string()])?.self_signed(&key)?, &key)
}

fn identity(certificate: &rcgen::Certificate, key: &KeyPair) -> Result<Identity> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(Arc::new(config))
}

/// Takes HTTPS and passes HTTP on to a receiver; dropping it ends it.
pub struct Terminator {
    address: SocketAddr,
    identity: watch::Sender<Identity>,
    task: JoinHandle<()>,
}

impl Terminator {
    /// Starts one on the receiver's own IP address.
    pub async fn start(receiver: SocketAddr, identity: Identity) -> Result<Self> {
        let listener = TcpListener::bind((receiver.ip(), 0)).await?;
        let address = listener.local_addr()?;
        let identity = watch::Sender::new(identity);
        let task = tokio::spawn(accept(listener, receiver, identity.subscribe()));
        Ok(Self { address, identity, task })
    }

    /// Where a path behind it is reached.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Presents another certificate from now on.
    pub fn present(&self, identity: Identity) {
        self.identity.send_replace(identity);
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, receiver: SocketAddr, identity: watch::Receiver<Identity>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let identity = identity.borrow().clone();
                    connections.spawn(relay(client, receiver, identity));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What goes wrong here, the peers see.
async fn relay(client: TcpStream, receiver: SocketAddr, identity: Identity) -> std::io::Result<()> {
    let mut client = TlsAcceptor::from(identity).accept(client).await?;
    let mut plain = TcpStream::connect(receiver).await?;
    tokio::io::copy_bidirectional(&mut client, &mut plain).await?;
    Ok(())
}

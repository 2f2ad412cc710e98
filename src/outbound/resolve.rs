//! Names to addresses, every one of which must be permitted.
//!
//! The check stands between the lookup and the connection that uses its answer: a name that
//! resolves to something else a moment later (DNS rebinding) gains nothing.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use url::{Host, Url};

use super::address::{AddressRefused, Policy};

/// A lookup under way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Where addresses come from: the system, or a table in a test.
pub trait Resolve: Send + Sync + 'static {
    /// Looks up all addresses of a name.
    fn resolve(&self, host: &str) -> Resolving;
}

/// The system's resolver.
///
/// It blocks a thread for each lookup and can't be cancelled, so a name whose server is silent is
/// looked up once at a time: further requests join in, and its retries use no more threads.
#[derive(Clone, Default)]
pub struct SystemResolver {
    under_way: Arc<Mutex<HashMap<String, Lookup>>>,
}

/// An error is kept as text because [`io::Error`] can't be cloned for each who waits.
type Lookup = Shared<BoxFuture<'static, Result<Vec<IpAddr>, String>>>;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Resolving {
        let lookup = self.join(host);
        Box::pin(async move { lookup.await.map_err(io::Error::other) })
    }
}

impl SystemResolver {
    fn join(&self, host: &str) -> Lookup {
        let mut under_way = lock(&self.under_way);
        if let Some(lookup) = under_way.get(host) {
            return lookup.clone();
        }
        // A task of its own: it goes on, and cleans up, when nobody waits any more. It can't do
        // so before the entry is there, because the lock is held until then.
        let table = Arc::clone(&self.under_way);
        let name = host.to_owned();
        let task = tokio::spawn(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            lock(&table).remove(&name);
            found.map(|found| found.map(|address| address.ip()).collect()).map_err(|error| error.to_string())
        });
        let lookup = task.map(|ended| ended.unwrap_or_else(|error| Err(error.to_string()))).boxed().shared();
        under_way.insert(host.to_owned(), lookup.clone());
        lookup
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first address of a URL that the policy refuses, for who has to be told which it is.
pub async fn refused(policy: &Policy, resolver: &dyn Resolve, url: &Url) -> Option<AddressRefused> {
    match url.host()? {
        Host::Ipv4(ip) => policy.judge(ip.into()).err(),
        Host::Ipv6(ip) => policy.judge(ip.into()).err(),
        Host::Domain(name) => {
            let addresses = resolver.resolve(name).await.unwrap_or_default();
            addresses.into_iter().find_map(|ip| policy.judge(ip).err())
        }
    }
}

/// The resolver that the HTTP client sees.
#[derive(Clone)]
pub(super) struct Filtered {
    pub(super) policy: Policy,
    pub(super) resolver: Arc<dyn Resolve>,
}

impl fmt::Debug for Filtered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Filtered {
    /// The addresses of a name, each of which is permitted.
    pub(super) fn permitted(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>>> + use<> {
        let policy = self.policy.clone();
        let resolving = self.resolver.resolve(name);
        async move {
            let addresses = resolving.await?;
            if addresses.is_empty() {
                return Err("the name has no addresses".into());
            }
            // Not the good ones of a mixed answer: who puts a private address beside a public one
            // is guessing which of them we try first.
            for ip in &addresses {
                policy.judge(*ip)?;
            }
            Ok(addresses)
        }
    }
}

impl reqwest::dns::Resolve for Filtered {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let permitted = self.permitted(name.as_str());
        Box::pin(async move {
            // Port 0 stands for the URL's port.
            let addresses = permitted.await?.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        })
    }
}

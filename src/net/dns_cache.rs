//! Resolves host names and caches the result.
//!
//! ureq asks the resolver before every request, even when a connection is open, and its own resolver starts a thread each time.
//!
//! Called by ureq on sender threads. Must not import: pgrx.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::url::parse_ip;

/// Lifetime of a cached name. Short, because Guesty's API is behind a load balancer.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// A resolver that handles IP addresses itself and caches names for 30 seconds. Clones share the cache.
#[derive(Clone, Debug, Default)]
pub(super) struct DnsCache {
    inner: Arc<DefaultResolver>,
    entries: Arc<Mutex<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    scheme: String,
    authority: String,
    since: Instant,
    addrs: ResolvedSocketAddrs,
}

impl DnsCache {
    /// Forgets every name.
    pub(super) fn clear(&self) {
        self.with_entries(Vec::clear);
    }

    fn with_entries<R>(&self, use_entries: impl FnOnce(&mut Vec<Entry>) -> R) -> R {
        use_entries(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, scheme: &str, authority: &str) -> Option<ResolvedSocketAddrs> {
        self.with_entries(|entries| {
            entries.retain(|entry| entry.since.elapsed() < CACHE_TTL);
            entries
                .iter()
                .find(|entry| entry.scheme == scheme && entry.authority == authority)
                .map(|entry| entry.addrs.clone())
        })
    }
}

impl Resolver for DnsCache {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(Error::HostNotFound);
        };
        if let Some(ip) = parse_ip(authority.host()) {
            let default_port = if scheme == "https" { 443 } else { 80 };
            let mut addrs = self.empty();
            addrs.push(SocketAddr::new(ip, authority.port_u16().unwrap_or(default_port)));
            return Ok(addrs);
        }
        if let Some(addrs) = self.get(scheme, authority.as_str()) {
            return Ok(addrs);
        }
        let addrs = self.inner.resolve(uri, config, timeout)?;
        self.with_entries(|entries| {
            entries.push(Entry {
                scheme: scheme.to_owned(),
                authority: authority.as_str().to_owned(),
                since: Instant::now(),
                addrs: addrs.clone(),
            });
        });
        Ok(addrs)
    }
}

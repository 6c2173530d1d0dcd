//! Is a request meant for us? A page of somebody else's, whose name was made to lead here, names
//! itself as the host: only numbers and names that are known to be ours are answered.

use std::{fs, net::IpAddr};

use crate::endpoint::Endpoint;

/// The names that are ours.
#[derive(Debug)]
pub(super) struct Hosts {
    /// `None` for a Unix socket, to which no name leads.
    names: Option<Vec<String>>,
}

impl Hosts {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let Endpoint::Tcp { host, .. } = endpoint else { return Self { names: None } };
        let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let names = ["localhost", host, machine.trim()];
        let names = names.into_iter().filter(|name| !name.is_empty()).map(str::to_lowercase);
        Self { names: Some(names.collect()) }
    }

    /// Whether the host that a request names is ours.
    pub(super) fn has(&self, host: Option<&str>) -> bool {
        let Some(names) = &self.names else { return true };
        let Some(host) = host else { return false };
        let name = without_port(host);
        let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_number = number.unwrap_or(name).parse::<IpAddr>().is_ok();
        is_number || names.contains(&name.trim_end_matches('.').to_lowercase())
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_ours_are_known_and_no_others() {
        let hosts = Hosts::of(&"box.lan:9000".parse().unwrap());
        for host in
            ["localhost", "LOCALHOST:9000", "127.0.0.1:9", "[::1]:9", "10.0.0.7", "Box.lan:1"]
        {
            assert!(hosts.has(Some(host)), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:9000", "127.0.0.1.evil.example", ":9"]
        {
            assert!(!hosts.has(Some(host)), "{host}");
        }
        assert!(!hosts.has(None));
        assert!(Hosts::of(&"unix:s".parse().unwrap()).has(Some("anything")));
    }
}

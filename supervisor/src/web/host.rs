//! Protection against DNS rebinding. A hostile page whose name resolves to this server sends its own
//! name in the `Host` header; the server answers only IP addresses and names that it knows as its
//! own.

use std::{fs, net::IpAddr};

use crate::endpoint::Endpoint;

/// The host names of the server.
#[derive(Debug)]
pub(super) struct Hosts {
    /// `None` for a Unix socket, which no name resolves to.
    names: Option<Vec<String>>,
}

impl Hosts {
    /// The names of a server at this endpoint, which `also` has these.
    pub(super) fn of(endpoint: &Endpoint, also: &[String]) -> Self {
        let Endpoint::Tcp(address) = endpoint else { return Self { names: None } };
        let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let names = ["localhost", &address.host, machine.trim()].into_iter();
        let names = names
            .chain(also.iter().map(String::as_str))
            .filter(|name| !name.is_empty())
            .map(str::to_lowercase);
        Self { names: Some(names.collect()) }
    }

    /// Whether the host in a request is this server.
    pub(super) fn contains(&self, host: &str) -> bool {
        let Some(names) = &self.names else { return true };
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
    use fuzz::{Checked, Did, Target};

    #[test]
    fn only_addresses_and_known_names_are_answered() {
        let also = ["App".to_owned(), "status.example.com".into()];
        let hosts = Hosts::of(&"box.lan:9000".parse().unwrap(), &also);
        for host in [
            "localhost",
            "LOCALHOST:9000",
            "127.0.0.1:9",
            "[::1]:9",
            "10.0.0.7",
            "Box.lan:1",
            "app:1",
            "status.example.com.",
        ] {
            assert!(hosts.contains(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:9000", "127.0.0.1.evil.example", ":9"]
        {
            assert!(!hosts.contains(host), "{host}");
        }
        assert!(Hosts::of(&"unix:s".parse().unwrap(), &[]).contains("anything"));
    }

    fn host_fields() -> Target {
        let seeds = ["localhost:9000", "127.0.0.1:9", "[::1]:9", "Box.lan.", "evil.example:80"];
        let words = &["localhost", "box.lan", ".evil.example", "@", ":", "[", "]", "/", "\0", "%"];
        Target { name: "hosts", seeds: seeds.map(|seed| seed.as_bytes().to_vec()).into(), words }
    }

    /// Only an address or a name of the server is answered, whatever stands around it.
    fn check(input: &[u8], is_own: impl Fn(&str) -> bool) -> Checked {
        let host = String::from_utf8_lossy(input);
        if !is_own(&host) {
            return Ok(Did::Refuse);
        }
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || b".:[]".contains(&byte);
        let name = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_lowercase();
        let is_known =
            Hosts::of(&"box.lan:9000".parse().unwrap(), &[]).names.unwrap().contains(&name);
        if is_known || host.bytes().all(is_address) {
            Ok(Did::Accept)
        } else {
            Err(format!("{host:?} is answered"))
        }
    }

    #[test]
    fn any_host_field_is_of_the_server_or_refused() {
        let hosts = Hosts::of(&"box.lan:9000".parse().unwrap(), &[]);
        host_fields().fuzz(|input| check(input, |host| hosts.contains(host)));
    }

    #[test]
    fn a_host_that_only_ends_like_the_server_would_be_found() {
        host_fields().finds(|input| check(input, |host| without_port(host).ends_with("box.lan")));
    }
}

//! What was typed, and what does it mean? One fallible step from arguments and environment
//! to the settings of a client.

use std::time::Duration;

use clap::builder::Resettable;
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use connection::client::Settings;
use connection::fetch::Limits;
use reqwest::Url;
use worker::quantity::{parse_duration, parse_size};

const URL_VARIABLE: &str = "CONNECTION_URL";

/// Fetches each URL once and writes its body to stdout.
///
/// Without a URL, a built-in upstream on the loopback interface is asked for /posts/1.
#[derive(Parser)]
#[command(name = "connection_bin", version, after_help = AFTER_HELP)]
struct Typed {
    /// What to fetch, http or https; bodies are written in this order
    #[arg(value_name = "URL", env = URL_VARIABLE, hide_env_values = true, value_parser = url)]
    urls: Vec<Url>,

    #[command(flatten)]
    limits: TypedLimits,

    /// One request after the other, instead of concurrently
    #[arg(long)]
    sequential: bool,

    /// Tell on stderr how long each URL took, and all of them
    #[arg(long)]
    time: bool,
}

#[derive(Args)]
struct TypedLimits {
    /// Longest time for one request, from look-up to last byte
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = timeout)]
    timeout: Duration,

    /// Largest body accepted
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_size)]
    max_body: u64,
}

const AFTER_HELP: &str = "\
Started with PROTO=TCP in the environment and a socket as stdin, as tcpserver and its kin do, \
it serves HTTP/1.1 to that one client instead; GET / lists the routes.

Exit status: 0 all fetched, 1 some request or the output failed, 2 usage.";

/// The settings, or the end of the process with clap's message and status 2.
pub(crate) fn read() -> Settings {
    let mut command = Typed::command();
    // As for most programs, an empty variable is as good as none.
    if std::env::var_os(URL_VARIABLE).is_some_and(|url| url.is_empty()) {
        command = command.mut_arg("urls", |urls| urls.env(Resettable::Reset));
    }
    let typed = Typed::from_arg_matches(&command.get_matches()).unwrap_or_else(|e| e.exit());
    Settings {
        urls: typed.urls,
        limits: Limits { timeout: typed.limits.timeout, body_bytes_max: typed.limits.max_body },
        sequential: typed.sequential,
        show_time: typed.time,
    }
}

fn url(text: &str) -> Result<Url, String> {
    let reason = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => return Ok(url),
        Ok(url) => format!("scheme `{}` is not supported", url.scheme()),
        Err(error) => error.to_string(),
    };
    Err(format!("{reason}; write http://HOST/PATH or https://HOST/PATH"))
}

fn timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("nothing is answered in no time; write 30s, say".into()),
        Ok(limit) => Ok(limit),
        Err(error) => Err(error.to_string()),
    }
}

//! The command line: turns arguments and environment into the settings of a client, in one fallible
//! step.

use std::time::Duration;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};
use connection::client::Settings;
use connection::fetch::Limits;
use connection::reply::Reply;
use connection::request::{parse_timeout, parse_url};
use reqwest::Url;
use text::units::parse_size;

const URL_VARIABLE: &str = "CONNECTION_URL";

/// Fetch each URL once and write its body to stdout.
///
/// Without a URL, fetch /posts/1 from a built-in server on the loopback interface.
#[derive(Parser)]
#[command(name = "connection_bin", version, after_help = AFTER_HELP)]
struct Typed {
    /// URL to fetch, http or https; bodies are written in this order
    #[arg(value_name = "URL", env = URL_VARIABLE, hide_env_values = true, value_parser = parse_url)]
    urls: Vec<Url>,

    #[command(flatten)]
    limits: TypedLimits,

    /// What to write for each answer
    #[arg(long, value_name = "FORM", default_value = "body")]
    reply: TypedReply,

    /// Send one request at a time instead of many concurrently
    #[arg(long)]
    sequential: bool,

    /// Print the time that each URL took, and the total, to stderr
    #[arg(long)]
    time: bool,
}

#[derive(Args)]
struct TypedLimits {
    /// Time limit of one request, from name look-up to the last byte
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout)]
    timeout: Duration,

    /// Largest body accepted
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_size)]
    max_body: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum TypedReply {
    /// The body; a status other than 2xx is a failure
    Body,
    /// A line of JSON: url (the last one, if redirected), status (any status is an answer),
    /// headers, ms, and body, or body_base64 if it is not UTF-8
    Json,
}

const AFTER_HELP: &str = "\
As a worker of a supervisor's pool, the program takes jobs instead of URLs, one after another, \
and sends as the job's reply what it would otherwise write. A job is a URL, or a JSON object:
  url          the URL to fetch
  method       the default is GET, or POST if there is a body
  headers      an object of strings or lists of strings
  body         a string; body_base64 for other bytes
  timeout      overrides --timeout: seconds, or a string such as \"200ms\"

Started with PROTO=TCP in the environment and a socket as stdin, as by tcpserver, the program \
serves HTTP/1.1 to that one client instead; GET / lists the routes.

Exit status: 0 all fetched, 1 some request or the output failed, 2 usage. A worker exits with 0 \
even if jobs failed, since each job's reply reports its own failure.";

/// Reads the settings of a client. On a usage error, exits with clap's message and status 2.
pub(crate) fn read() -> Settings {
    let empty = std::env::var_os(URL_VARIABLE).is_some_and(|url| url.is_empty());
    // As in most programs, an empty variable counts as unset.
    if empty { settings(without_variable()) } else { settings(Typed::command()) }
}

/// Reads the settings of a worker, whose URLs come from jobs. It ignores the variable, which only
/// replaces a missing URL. On a usage error, exits with clap's message and status 2.
pub(crate) fn read_for_worker() -> Settings {
    let settings = settings(without_variable());
    if !settings.urls.is_empty() {
        let message = "a worker of a pool takes its URLs from jobs; \
            leave out those on the command line, or put each into a job";
        Typed::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    settings
}

fn without_variable() -> clap::Command {
    Typed::command().mut_arg("urls", |urls| urls.env(Resettable::Reset))
}

fn settings(command: clap::Command) -> Settings {
    let typed = Typed::from_arg_matches(&command.get_matches()).unwrap_or_else(|e| e.exit());
    Settings {
        urls: typed.urls,
        limits: Limits { timeout: typed.limits.timeout, body_bytes_max: typed.limits.max_body },
        reply: match typed.reply {
            TypedReply::Body => Reply::Body,
            TypedReply::Json => Reply::Json,
        },
        sequential: typed.sequential,
        show_time: typed.time,
    }
}

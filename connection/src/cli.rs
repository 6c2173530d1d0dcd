//! What was typed, and what does it mean? One fallible step from arguments and environment
//! to the settings of a client.

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

/// Fetches each URL once and writes its body to stdout.
///
/// Without a URL, a built-in upstream on the loopback interface is asked for /posts/1.
#[derive(Parser)]
#[command(name = "connection_bin", version, after_help = AFTER_HELP)]
struct Typed {
    /// What to fetch, http or https; bodies are written in this order
    #[arg(value_name = "URL", env = URL_VARIABLE, hide_env_values = true, value_parser = parse_url)]
    urls: Vec<Url>,

    #[command(flatten)]
    limits: TypedLimits,

    /// What to write of each answer
    #[arg(long, value_name = "FORM", default_value = "body")]
    reply: TypedReply,

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
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout)]
    timeout: Duration,

    /// Largest body accepted
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_size)]
    max_body: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum TypedReply {
    /// The body; a status that is no success is a failure
    Body,
    /// A line of JSON: url (the last one, if redirected), status (no success is an answer
    /// too), headers, ms, and body, or body_base64 if it is not UTF-8
    Json,
}

const AFTER_HELP: &str = "\
Started by a supervisor as a worker of its pool, it takes no URL but jobs, one after another, \
and what would be written is the job's reply. A job is a URL, or a JSON object:
  url          what to fetch
  method       GET if not given; POST if there is a body
  headers      an object of texts or lists of texts
  body         a text; body_base64 for other bytes
  timeout      in place of --timeout: seconds, or a text such as \"200ms\"

Started with PROTO=TCP in the environment and a socket as stdin, as tcpserver and its kin do, \
it serves HTTP/1.1 to that one client instead; GET / lists the routes.

Exit status: 0 all fetched, 1 some request or the output failed, 2 usage. A worker's is 0 even \
if jobs failed, since each is told so.";

/// The settings of a client, or the end of the process with clap's message and status 2.
pub(crate) fn read() -> Settings {
    let empty = std::env::var_os(URL_VARIABLE).is_some_and(|url| url.is_empty());
    // As for most programs, an empty variable is as good as none.
    if empty { settings(without_variable()) } else { settings(Typed::command()) }
}

/// The settings of a worker, which gets its URLs later, or the same end. The variable is for
/// whoever names no URL, and so not for a worker.
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

//! `--serve`: metrics, health, events and the Unix socket, and clients that misbehave.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

use crate::support::{
    Run, Running, Signal,
    http::{Answer, request},
    load, until,
};
use prometheus_parse::{Scrape, Value as Metric};

/// A run with an idle worker that does not end by itself.
fn idle() -> Running {
    Run::sh("sleep 600").with("--grace 100ms").served().start()
}

fn stop(run: Running) {
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}

/// Parses metrics with a library, after checks that the library omits.
fn parsed(text: &str) -> Scrape {
    let mut kinds = HashMap::new();
    let mut seen = HashSet::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} twice");
            let suffix = kind == "counter";
            assert_eq!(name.ends_with("_total"), suffix, "{name} is a {kind}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name} without help");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(seen.insert(series), "{series} twice");
            value.parse::<f64>().unwrap();
            let name = series.split('{').next().unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_known =
                kinds.contains_key(name) || family.is_some_and(|f| kinds[f] == "histogram");
            assert!(is_known, "{name} without a type before it");
        }
    }
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    assert!(!scrape.samples.is_empty());
    scrape
}

/// The value of a metric with these labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_it = |sample: &&prometheus_parse::Sample| {
        sample.metric == name
            && labels.iter().all(|(key, value)| sample.labels.get(key) == Some(value))
    };
    let found: Vec<_> = scrape.samples.iter().filter(is_it).collect();
    let [sample] = found[..] else { panic!("{name} {labels:?}: {found:?}") };
    match sample.value {
        Metric::Counter(value) | Metric::Gauge(value) | Metric::Untyped(value) => value,
        ref other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn metrics_match_the_run_and_parse() {
    let (run, mut feed) = Run::worker("work").with("-w 2 --retries 1 --retry-delay 0s").fed_live();
    let run = run.served().start();
    for job in ["fine", "segv", "fail \"x\\", "sleep 30", "fine"] {
        feed.push(job);
    }
    let scrape = || {
        let answer = run.get("/metrics");
        assert_eq!(answer.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        parsed(&answer.body)
    };
    let jobs = |scrape: &Scrape, status, cause| {
        let of = |s: &&prometheus_parse::Sample| {
            s.metric == "supervisor_jobs_total"
                && s.labels.get("status") == Some(status)
                && s.labels.get("cause") == Some(cause)
        };
        scrape.samples.iter().any(|s| of(&s)).then(|| {
            value(scrape, "supervisor_jobs_total", &[("status", status), ("cause", cause)])
        })
    };
    until("all have ended", || jobs(&scrape(), "ok", "") == Some(3.0));
    let all = scrape();
    assert_eq!(jobs(&all, "quarantined", "signal"), Some(1.0));
    assert_eq!(jobs(&all, "failed", "error"), Some(1.0));
    assert_eq!(value(&all, "supervisor_jobs_accepted_total", &[]), 5.0);
    assert_eq!(value(&all, "supervisor_job_retries_total", &[]), 2.0);
    assert_eq!(value(&all, "supervisor_job_attempts_total", &[("cause", "ok")]), 3.0);
    assert_eq!(value(&all, "supervisor_job_attempts_total", &[("cause", "signal")]), 2.0);
    assert!(value(&all, "supervisor_worker_restarts_total", &[("cause", "signal")]) >= 2.0);
    until("both are ready again", || {
        value(&scrape(), "supervisor_workers", &[("state", "ready")]) == 2.0
    });
    let memory =
        scrape().samples.into_iter().filter(|s| s.metric == "supervisor_worker_memory_bytes");
    assert!(memory.count() <= 2);
    until("memory is measured", || {
        let measured = |s: &prometheus_parse::Sample| s.metric == "supervisor_worker_memory_bytes";
        scrape().samples.iter().filter(|s| measured(s)).count() == 2
    });
    let name = "supervisor_job_service_time_seconds";
    let times = all.samples.iter().find(|sample| sample.metric == name).unwrap();
    let Metric::Histogram(buckets) = &times.value else { panic!("{times:?}") };
    assert!(buckets.is_sorted_by(|a, b| a.less_than < b.less_than && a.count <= b.count));
    assert_eq!(buckets.last().map(|last| (last.less_than, last.count)), Some((f64::INFINITY, 7.0)));
    assert!(value(&all, &format!("{name}_sum"), &[]) >= 0.03);
    drop(feed);
    assert_eq!(run.finish().code(), Some(1));
}

#[test]
fn a_run_behind_a_proxy_answers_the_names_that_it_is_given() {
    let run = Run::sh("sleep 600").with("--grace 100ms --serve-host app --serve-host a.example");
    let run = run.served().start();
    for (host, status) in [("app:9100", 200), ("A.example", 200), ("b.example", 421)] {
        assert_eq!(run.send(&request("GET", "/healthz", host)).status, status, "{host}");
    }
    // Below a path of a proxy, only relative addresses lead back to the run.
    let page = run.get("/").body;
    for absolute in ["=\"/", "(\"/", "='/", "('/"] {
        assert!(!page.contains(absolute), "{absolute}");
    }
    stop(run);
}

#[test]
fn unknown_paths_methods_and_hosts_are_refused() {
    let run = idle();
    let page = run.get("/");
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"), "{policy}");
    let nonce = policy.split("nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(page.body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(!run.get("/").body.contains(nonce), "no two pages have the same");
    let head = run.send(&request("HEAD", "/", "localhost"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.field("content-length"), page.field("content-length"));
    assert_eq!(run.send(&request("HEAD", "/events", "localhost")).status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer = run.send(&request(method, "/", "localhost"));
        assert_eq!((answer.status, answer.field("allow")), (405, Some("get, head")), "{method}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9000", ""] {
        assert_eq!(run.send(&request("GET", "/metrics", host)).status, 421, "{host}");
    }
    // A probe that speaks HTTP/1.0 has no host to name, and no browser speaks it.
    assert_eq!(run.send("GET /healthz HTTP/1.0\r\n\r\n").status, 200);
    assert_eq!(run.send("GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n").status, 421);
    let two = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n";
    assert_eq!(run.send(two).status, 400);
    for host in ["127.0.0.1:1234", "[::1]", "localhost"] {
        assert_eq!(run.send(&request("GET", "/healthz", host)).status, 200, "{host}");
    }
    for path in ["/nothing", "/../etc/passwd", "//", "/metrics/", "/%2e"] {
        let answer = run.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("/metrics"), "{}", answer.body);
    }
    stop(run);
}

#[test]
fn readyz_follows_the_readiness_of_workers() {
    let run = Run::sh("trap '' TERM; while :; do sleep 0.05; done").served().with("--grace 3s");
    let run = run.start();
    assert_eq!((run.get("/healthz").status, run.get("/readyz").status), (200, 503));
    until("it is ready", || run.get("/readyz").status == 200);
    run.signal(Signal::SIGTERM);
    until("it stops", || run.get("/readyz").body == "stopping\n");
    assert_eq!((run.get("/healthz").status, run.get("/readyz").status), (200, 503));
    run.signal(Signal::SIGKILL);
}

#[test]
fn the_event_stream_begins_with_a_snapshot_and_ends_with_the_run() {
    let (run, mut feed) = Run::worker("work").with("-w 1").fed_live();
    let run = run.served().start();
    let mut events = run.follow("/events");
    let (name, all) = events.next().unwrap().unwrap();
    assert_eq!((name.as_str(), &all["schema"]), ("snapshot", &1.into()));
    assert_eq!(all["run"]["has_jobs"], true);
    let mut only_board = run.follow("/events?only=board");
    assert_eq!(only_board.next().unwrap().unwrap().0, "snapshot");
    feed.push("fine");
    feed.push("fail <script>alert(1)</script>");
    drop(feed);
    let rest = events.rest();
    let records: Vec<_> = rest.iter().filter(|(name, _)| name == "message").collect();
    let jobs: Vec<_> = records.iter().filter(|(_, record)| record["type"] == "job").collect();
    assert_eq!(jobs.len(), 2, "{records:?}");
    let end = &records.last().unwrap().1;
    assert_eq!((&end["type"], &end["ok"], &end["failed"]), (&"end".into(), &1.into(), &1.into()));
    let (name, _) = rest.last().unwrap();
    assert_eq!(name, "end");
    let boards: Vec<_> = rest.iter().filter(|(name, _)| name == "board").collect();
    let board = &boards.last().unwrap().1;
    assert_eq!((&board["state"], &board["jobs"]["failed"]), (&"ended".into(), &1.into()));
    let failures: Vec<_> =
        boards.iter().flat_map(|b| b.1["failures"].as_array().unwrap()).collect();
    assert_eq!(failures.len(), 1, "each failure is reported once");
    assert_eq!(failures[0]["why"], "<script>alert(1)</script>");
    let names: HashSet<_> = only_board.rest().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["board", "end"].map(String::from).into());
    assert_eq!(run.finish().code(), Some(1));
}

#[test]
fn the_event_stream_is_thinned_and_counts_what_it_skips() {
    let _busy = load::busy();
    let jobs = "x\n".repeat(3_000_000);
    let run = Run::worker("echo").with("-w 2 --output none").fed(jobs).served().start();
    let events = run.follow("/events").rest();
    let records = events.iter().filter(|(name, _)| name == "message").map(|(_, record)| record);
    let records: Vec<_> = records.collect();
    let end = records.last().unwrap();
    assert_eq!((&end["type"], &end["ok"]), (&"end".into(), &3_000_000.into()));
    let skipped: u64 = records.iter().filter_map(|record| record["skipped"].as_u64()).sum();
    let reported = records.iter().filter(|record| record["type"] == "job").count() as u64;
    assert!(
        skipped > 0 && reported > 0 && reported + skipped <= 3_000_100,
        "{reported} and {skipped}"
    );
    let seconds = end["at_ms"].as_f64().unwrap() / 1e3;
    assert!((reported as f64) < 1000.0 * (seconds + 1.0), "{reported} in {seconds} s");
    assert!(run.finish().summary().starts_with("3000000 jobs: 3000000 ok;"));
}

#[test]
fn malformed_and_silent_clients_do_not_disturb_the_run() {
    let (run, mut feed) = Run::worker("work").with("-w 1").fed_live();
    let run = run.served().start();
    feed.push("fine");
    // A thousand clients connect and send nothing, or half a request.
    let mut silent: Vec<_> = (0..1000).map(|_| run.connect()).collect();
    for stream in silent.iter_mut().step_by(2) {
        // The server may have closed the connection already.
        let _ = stream.write_all(b"GET /metrics HT");
    }
    assert_eq!(run.get("/healthz").status, 200);
    // Many clients request events and never read.
    let deaf: Vec<_> = (0..70).map(|_| run.follow("/events")).collect();
    assert_eq!(run.get("/healthz").status, 200);
    until("places are free again", || run.get("/readyz").status == 200);
    // Oversized and malformed requests.
    let long = "x".repeat(64 << 10);
    let many = "X: y\r\n".repeat(500);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400..=431),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"), 400..=431),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"), 400..=431),
        ("\0\u{1}\u{2} nonsense\r\n\r\n".into(), 400..=400),
    ] {
        let mut stream = run.connect();
        // The server may close the connection before everything is written.
        let _ = stream.write_all(request.as_bytes());
        let mut printed = Vec::new();
        let _ = stream.read_to_end(&mut printed);
        if !printed.is_empty() {
            let answer = Answer::read(&mut &printed[..]);
            assert!(status.contains(&answer.status), "{answer:?}");
        }
    }
    assert_eq!(run.get("/metrics").status, 200);
    feed.push("fine");
    drop(feed);
    let run = run.finish();
    assert!(run.summary().starts_with("2 jobs: 2 ok;"), "{}", run.summary());
    drop((silent, deaf));
}

#[test]
fn a_unix_socket_is_private_and_removed_with_the_run() {
    let run = Run::sh("sleep 600").with("--grace 100ms --serve unix:web.sock");
    let path = run.scratch.path().join("web.sock");
    let run = run.start();
    run.stderr.until("it is served", |text| text.contains("the socket web.sock\n").then_some(()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(request("GET", "/healthz", "whatever").as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut stream).body, "ok\n");
    stop(run);
    assert!(!path.exists());
}

#[test]
fn an_address_in_use_is_refused_before_anything_runs() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!(":{}", taken.local_addr().unwrap().port());
    let run = Run::sh("echo ran").option("--serve", &address).finish();
    assert_eq!((run.code(), run.stdout_text()), (Some(125), ""));
    let refused = format!("supervisor: --serve 127.0.0.1{address}: Address already in use");
    assert!(run.stderr.starts_with(&refused), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    let run = Run::sh("echo ran").option("--serve", "9000").finish();
    assert_eq!(run.code(), Some(2));
    assert!(run.stderr.contains("write :PORT for this machine alone"), "{}", run.stderr);
}

//! The library as a worker of a pool, without a supervisor, against real servers on the loopback
//! interface.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use connection::client::Settings;
use connection::fetch::Limits;
use connection::pool::Worker;
use connection::reply::Reply;
use serde_json::{Value, json};

use crate::support::{runtime, upstream};

#[test]
fn the_reply_is_the_body_and_other_statuses_fail() {
    let (runtime, base) = (runtime(), upstream());
    let worker = Worker::new(&runtime, &settings(Reply::Body)).unwrap();
    let work = |job: &str| worker.work(job.as_bytes()).map_err(|error| error.to_string());
    assert_eq!(work(&format!("{base}/bytes/3\n")).unwrap(), b"xxx");
    let refused = work(&format!("{base}/status/404")).unwrap_err();
    assert_eq!(refused, "Failed to get a valid response. Status: 404 Not Found");
    assert!(work("nonsense").unwrap_err().starts_with("job is not a URL"));
    let head = json!({"url": format!("{base}/bytes/1G"), "method": "HEAD"}).to_string();
    assert_eq!(work(&head).unwrap(), b"");
    let large = work(&format!("{base}/bytes/4097")).unwrap_err();
    assert!(large.contains("/bytes/4097: body exceeds 4.0 KiB"), "{large}");
    assert_eq!(work(&format!("{base}/bytes/0")).unwrap(), b"", "and the worker goes on");
}

#[test]
fn a_jobs_own_timeout_applies_and_hides_the_password() {
    let (runtime, base) = (runtime(), upstream());
    let mut settings = settings(Reply::Body);
    settings.limits.timeout = Duration::from_millis(100);
    let worker = Worker::new(&runtime, &settings).unwrap();
    let url = |path: &str| base.replace("//", "//ann:s3cret@") + path;
    let slow = json!({"url": url("/delay/0.3"), "timeout": "1m"}).to_string();
    assert_eq!(worker.work(slow.as_bytes()).unwrap(), b"answered after 300 ms\n");
    let short = json!({"url": url("/delay/3000"), "timeout": 0.05}).to_string();
    for (job, remedy) in [(url("/delay/3000"), "--timeout"), (short, "the job's `timeout`")] {
        let error = worker.work(job.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("/delay/3000: no complete answer within"), "{error}");
        assert!(error.ends_with(&format!("allow more with {remedy}")), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn a_redirect_error_hides_the_password() {
    let round = "HTTP/1.1 302 Found\r\nLocation: http://ann:s3cret@ADDRESS/round\r\n\
        Connection: close\r\nContent-Length: 0\r\n\r\n";
    let (url, _requests) = server(vec![vec![round.to_owned()]; 20]);
    let runtime = runtime();
    let worker = Worker::new(&runtime, &settings(Reply::Body)).unwrap();
    let error = worker.work(url.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("/round") && error.contains("redirect"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn json_replies_carry_every_status_and_the_final_url() {
    let (runtime, base) = (runtime(), upstream());
    let (url, _requests) = server(vec![vec![format!(
        "HTTP/1.1 302 Found\r\nLocation: {base}/status/404\r\nContent-Length: 0\r\n\r\n"
    )]]);
    let worker = Worker::new(&runtime, &settings(Reply::Json)).unwrap();
    let reply: Value = serde_json::from_slice(&worker.work(url.as_bytes()).unwrap()).unwrap();
    assert_eq!(reply["url"], format!("{base}/status/404"));
    assert_eq!((&reply["status"], &reply["body"]), (&json!(404), &json!("404 Not Found\n")));
    assert_eq!(reply["headers"]["content-length"], json!(["14"]));
    let ms = |name: &str| reply["ms"][name].as_f64().unwrap();
    assert!(0.0 < ms("first_byte") && ms("first_byte") <= ms("total"), "{reply}");
}

#[test]
fn requests_follow_the_job_and_share_one_connection() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned();
    let (url, requests) = server(vec![vec![ok; 3]]);
    let runtime = runtime();
    let worker = Worker::new(&runtime, &settings(Reply::Body)).unwrap();
    let work = |job: Value| assert_eq!(worker.work(job.to_string().as_bytes()).unwrap(), b"");

    work(json!({"url": url, "body": "hello", "headers": {"X-A": ["1", "2"], "user-agent": "me"}}));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n") && request.ends_with("hello"), "{request}");
    for line in ["x-a: 1\r\nx-a: 2\r\n", "user-agent: me\r\n", "content-length: 5\r\n"] {
        assert!(request.contains(line), "{request}");
    }
    work(json!({"url": url, "method": "put"}));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("PUT /") && request.contains("content-length: 0\r\n"), "{request}");
    work(json!({"url": url, "headers": {"authorization": "Bearer x"}}));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("GET /") && request.contains("authorization: Bearer x\r\n"));
    assert!(!request.contains("content-length"), "{request}");
}

#[test]
fn a_connection_closed_between_jobs_is_not_used_again() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned();
    // One request per connection, without `connection: close`.
    let (url, requests) = server(vec![vec![ok]; 20]);
    let runtime = runtime();
    let worker = Worker::new(&runtime, &settings(Reply::Body)).unwrap();
    for round in 0..20 {
        let reply = worker.work(url.as_bytes());
        assert!(reply.is_ok(), "{round}: {}", reply.unwrap_err());
        // By then the server has closed it, and on the loopback interface the client knows.
        requests.recv().unwrap();
    }
}

fn settings(reply: Reply) -> Settings {
    let limits = Limits { timeout: Duration::from_secs(60), body_bytes_max: 4096 };
    Settings { urls: vec![], limits, reply, sequential: false, show_time: false }
}

/// A server that sends these responses on each of its connections in turn, with `ADDRESS` replaced,
/// closes each connection, and then passes on the requests.
fn server(connections: Vec<Vec<String>>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}/");
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for answers in connections {
            let (mut client, _) = listener.accept().unwrap();
            let last = answers.len() - 1;
            for (index, answer) in answers.into_iter().enumerate() {
                let request = request(&mut client);
                client.write_all(answer.replace("ADDRESS", &address).as_bytes()).unwrap();
                if index == last {
                    client.shutdown(Shutdown::Both).unwrap();
                }
                let _ = sender.send(request);
            }
        }
    });
    (url, requests)
}

/// Reads one request with its body.
fn request(client: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut left = None;
    let mut byte = [0];
    while left != Some(0) && client.read(&mut byte).unwrap() == 1 {
        request.extend(byte);
        left = match left {
            Some(left) => Some(left - 1),
            None if request.ends_with(b"\r\n\r\n") => Some(length(&request)),
            None => None,
        };
    }
    String::from_utf8(request).unwrap()
}

fn length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.map_or(0, |length| length.parse().unwrap())
}

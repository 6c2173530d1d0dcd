//! The page in a browser: it follows a run while workers are killed, and shows job input as text only.

use std::io::{self, Write};

use crate::support::{Run, Signal, browser::Browser, load, pid, send};

/// Input that would show if the page interpreted any of it.
const VILE: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"&lt";

fn text(selector: &str) -> String {
    format!("document.querySelector({selector:?}).textContent")
}

/// Feeds the page with more than an hour of a busy run, with ten failures per half second.
fn an_hour(browser: &mut Browser) {
    browser.value("stream.close(); 0");
    let hour = "for (let half = 1; half <= 8000; half++) {
        const at_ms = board.at_ms + 500, jobs = { ...board.jobs, ok: board.jobs.ok + 1e6 };
        const failures = Array.from({ length: 10 }, (_, i) => ({ number: half * 10 + i, at_ms,
            id: half, position: half, input: 'x'.repeat(256), status: 'failed', cause: 'error',
            why: 'no such thing '.repeat(9), attempts: [] }));
        const sample = { at_ms, settled: jobs.ok, failed: half * 10, memory_bytes: half * 1048576 };
        take({ ...board, at_ms, jobs, failures, history: half % 2 ? [] : [sample] }, false);
    }
    0";
    browser.value(hour);
    browser.until("history.length <= 2000 && failures.length <= 1000");
    browser.until("document.querySelectorAll('#fails tr').length <= 200");
    let draws = "(() => { const from = performance.now();
        for (let i = 0; i < 20; i++) { showHead(); showTiles(); showSlots(); showCharts(); }
        return (performance.now() - from) / 20; })()";
    let draw = browser.value(draws).as_f64().unwrap();
    assert!(draw < 50.0, "{draw} ms for a picture");
    browser.shoot("page-hour");
}

#[test]
fn the_page_shows_a_run_while_workers_are_killed() {
    let _busy = load::busy();
    let Some(mut browser) = Browser::start() else {
        // Written directly, since the test harness captures `eprintln!`.
        let skipped =
            b"\nSKIPPED: the page in a browser: there is no Chromium (apt-get install chromium)\n";
        return io::stderr().write_all(skipped).unwrap();
    };
    let (run, mut feed) = Run::worker("work").with("-w 4").jsonl().fed_live();
    let run = run.served().start();
    let address = format!("http://{}/", run.address());
    browser.look(1440, 1000, "light");
    browser.open(&address);
    browser.until("document.querySelectorAll('.slot.idle').length === 4");
    // A job that runs, one that fails, one that crashes its worker, and many more.
    feed.push(&format!("sleep 60000; print {VILE}"));
    feed.push(&format!("fail {VILE}"));
    feed.push("segv");
    (0..300).for_each(|number| feed.push(&format!("sleep 20; print {number}")));
    browser.until("document.querySelectorAll('#fails .row').length === 2");
    browser.until("document.querySelectorAll('.slot.busy').length === 1");
    let whys = "[...document.querySelectorAll('#fails .row')].map(r => r.children[3].textContent)";
    assert!(browser.value(&format!("{whys}.includes({VILE:?})")) == true, "as it is written");
    browser.until(&format!("{}.includes('<img src=x')", text(".slot.busy .job")));
    assert_eq!(browser.value("document.querySelectorAll('main img, main script').length"), 0);
    // Killed workers are replaced by a new generation.
    let killed = run.first_pids(4);
    let holder = run.stdout.until("who was killed", |printed| {
        crate::support::tap::records(printed)
            .into_iter()
            .find(|r| r["type"] == "started")
            .map(|r| pid(&r))
    });
    assert!(killed.contains(&holder));
    let generations =
        "[...document.querySelectorAll('.slot b')].map(b => +b.textContent.split('.')[1])";
    let before = browser.value(&format!("{generations}.reduce((a, b) => a + b)")).as_i64().unwrap();
    killed.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    browser.until(&format!("{generations}.reduce((a, b) => a + b) >= {}", before + 2));
    browser.until("document.querySelectorAll('.slot').length === 4");
    // Open the details of a failure.
    browser.value("document.querySelector('#fails .row').click()");
    browser.until("!document.querySelector('#fails td.more').parentElement.hidden");
    browser.until("document.querySelector('#fails td.more li b').textContent.length > 3");
    browser.value("document.querySelector('[data-range=\"0\"]').click()");
    browser.until("document.querySelector('[data-range=\"0\"]').ariaPressed === 'true'");
    browser.shoot("page-light");
    browser.look(1440, 1000, "dark");
    browser.shoot("page-dark");
    browser.look(400, 900, "dark");
    browser.shoot("page-narrow");
    let wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    assert!(browser.value(wide) == true, "nothing is wider than a narrow window");
    browser.look(1440, 1000, "light");
    browser.open(&address);
    browser.until("document.querySelectorAll('.slot').length === 4");
    an_hour(&mut browser);
    let heap = browser.value("performance.memory.usedJSHeapSize").as_f64().unwrap();
    assert!(heap < 60e6, "{heap} bytes");
    browser.open(&address);
    browser.until("document.querySelectorAll('.slot').length === 4");
    run.signal(Signal::SIGTERM);
    run.signal(Signal::SIGKILL);
    browser.until(&format!("{}.includes('connection lost')", text("#state")));
    drop(run);
    let is_ours = |fault: &String| !fault.contains("ERR_") && !fault.contains("Failed to load");
    let faults: Vec<_> = browser.faults.iter().filter(|fault| is_ours(fault)).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

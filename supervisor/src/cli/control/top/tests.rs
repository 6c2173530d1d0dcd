//! Tests of the drawn screen, with sample runs.

use crossterm::event::KeyCode;
use ratatui::{Terminal, backend::TestBackend};
use records::Snapshot;
use text::escape::is_obeyed;

use super::{draw::draw, palette::Palette, sample, state::Top};

/// Draws the screen at this size and returns its lines.
fn lines(top: &mut Top, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let palette = Palette::new(true);
    terminal
        .draw(|frame| {
            draw(frame, top, &palette);
        })
        .unwrap();
    let cells = terminal.backend().buffer().content();
    let cells: Vec<_> = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
    cells.chunks(width.into()).map(|line| line.concat().trim_end().to_owned()).collect()
}

fn drawn(snapshot: Snapshot, width: u16, height: u16) -> Vec<String> {
    lines(&mut Top::new(snapshot), width, height)
}

#[test]
fn a_run_fits_on_one_screen() {
    let lines = drawn(sample::run(4), 100, 24);
    let expected = "\
k3f9 (nightly)  running  30 s  PID 4122  ./worker --fast
jobs: 897 ok, 3 failed, 4 running, 86 waiting, 45 % of 2000
rate 55/s                                                                 ▁▁▁▂▂▂▂▃▃▃▃▄▄▄▅▅▅▅▆▆▆▆▇▇▇█

worker   PID  state          up    memory  restarts  job      for  input
w1.1    5001  ready        30 s   5.0 MiB         0  901      2 s  input of 1
w2.1    5002  ready        30 s   5.0 MiB         0  902      2 s  input of 2
w3.1    5003  ready        30 s   5.0 MiB         0  903      2 s  input of 3
w4.1    5004  ready        30 s   5.0 MiB         0  904      2 s  input of 4
";
    assert_eq!(lines[..9].join("\n") + "\n", expected);
    assert!(lines[23].starts_with("q quit  ↑↓ select  K kill"));
    assert!(lines[23].ends_with("1 of 4"));
}

#[test]
fn every_size_and_every_text_can_be_drawn() {
    let vile = "\x1b]0;title\x07\r\n\t\u{9b}31m\u{202e}日本語 e\u{301} \u{200d}x ".repeat(30);
    for workers in [0, 1, 512] {
        let mut snapshot = sample::run(workers);
        for worker in &mut snapshot.workers {
            let job = worker.job.as_mut().unwrap();
            job.input.clone_from(&vile);
            worker.state = vile.clone().into();
        }
        snapshot.run.title.clone_from(&vile);
        snapshot.run.name = Some(vile.clone());
        snapshot.status = Some(vile.clone().into());
        for failure in &mut snapshot.failures {
            (failure.input, failure.why) = (vile.clone(), vile.clone());
        }
        for has_jobs in [true, false] {
            snapshot.run.has_jobs = has_jobs;
            let mut top = Top::new(snapshot.clone());
            for (width, height) in
                [(1, 1), (3, 2), (10, 3), (40, 10), (80, 24), (120, 40), (200, 50), (500, 200)]
            {
                top.press(KeyCode::Char('K').into(), 5);
                top.press(KeyCode::End.into(), 5);
                let lines = lines(&mut top, width, height);
                assert!(!lines.concat().contains(is_obeyed), "{lines:?}");
            }
        }
    }
}

#[test]
fn the_selected_worker_is_visible_among_many() {
    let mut top = Top::new(sample::run(512));
    assert!(lines(&mut top, 80, 24).iter().any(|line| line.starts_with("w1.1 ")));
    top.press(KeyCode::End.into(), 5);
    let shown = lines(&mut top, 80, 24);
    assert!(shown.iter().any(|line| line.starts_with("w512.1 ")), "{shown:?}");
    assert!(shown[23].ends_with("512 of 512"));
}

#[test]
fn a_narrow_window_keeps_the_columns_of_worker_and_job() {
    let lines = drawn(sample::run(12), 40, 10);
    assert_eq!(lines[3], "worker  state     job      for  input");
    assert_eq!(lines[4], "w1.1    ready     901      2 s  input o…");
    assert!(lines[8].starts_with("  500 ms ago  job 21"), "{lines:?}");
}

#[test]
fn the_latest_failure_comes_first_with_its_cause() {
    let lines = drawn(sample::run(4), 100, 24);
    let at = lines.iter().position(|line| line == "last failures; in all 3 exit").unwrap();
    assert_eq!(lines[at + 1], "  500 ms ago  job 21  code 3 (2 attempts): bad 3");
    assert_eq!(lines[at + 3], "    20 s ago  job 7  code 3 (2 attempts): bad 1");
}

#[test]
fn workers_without_jobs_are_shown_with_the_end_of_their_predecessor() {
    let mut snapshot = sample::run(2);
    snapshot.run.has_jobs = false;
    snapshot.workers.iter_mut().for_each(|worker| worker.job = None);
    let lines = drawn(snapshot, 100, 24);
    assert_eq!(lines[1], "workers: 2 live, 1 replaced");
    assert!(lines[2].starts_with("memory 10.0 MiB"), "{lines:?}");
    assert!(lines[5].ends_with("0  code 137 (SIGKILL, outside)"), "{lines:?}");
    let ends = ["last ends; in all 1 outside", "w1.0 (PID 77) ended: code 137 (SIGKILL, outside)"];
    assert!(lines.windows(2).any(|pair| pair == ends), "{lines:?}");
}

#[test]
fn a_run_that_has_ended_shows_how() {
    let mut top = Top::new(sample::run(2));
    top.end();
    assert!(lines(&mut top, 80, 24)[0].starts_with("k3f9 (nightly)  gone  "));
    top.snapshot.state = "ended".into();
    top.snapshot.status = Some("stopped".into());
    let shown = lines(&mut top, 80, 24);
    assert!(shown[0].starts_with("k3f9 (nightly)  ended: stopped  "), "{shown:?}");
    assert_eq!(shown[23].split("  ").nth(1), Some(""));
}

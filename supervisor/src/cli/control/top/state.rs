//! The state of the screen: the snapshot, the selection, an open question, and the meaning of keys.
//! It does no IO: keys and snapshots come in, responses go out.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use records::{Millis, Snapshot, Worker};
use supervisor::model::{ControlCommand, WorkerName};

use super::super::show::name;

/// A run on the screen. Everything that is shown of it comes from the snapshot.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) snapshot: Snapshot,
    pub(super) link: Link,
    pub(super) question: Option<Question>,
    answer: Option<Answer>,
    /// The index of the first visible worker.
    pub(super) first: usize,
    /// Slot and generation of the selected worker.
    selected: (u32, u32),
    /// The index of the selected worker; the selection stays there when that worker is gone.
    at: usize,
}

/// Whether snapshots arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    Live,
    /// None has arrived for this number of seconds.
    Silent(u64),
    /// The run has ended; none will arrive.
    Ended,
}

/// A command that the user must confirm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) text: String,
    command: ControlCommand,
}

/// The answer to a command, and when it arrived, since the start of the run.
#[derive(Debug)]
struct Answer {
    text: String,
    at_ms: Millis,
}

/// Time for which an answer is shown, unless a key is pressed.
const ANSWER_SHOWN: Duration = Duration::from_secs(5);

/// What the main loop must do about a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Response {
    Nothing,
    Quit,
    Suspend,
    Do(ControlCommand),
}

impl Top {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let selected = snapshot.workers.first().map_or((0, 0), id);
        Self { snapshot, link: Link::Live, question: None, answer: None, first: 0, selected, at: 0 }
    }

    /// Replaces the snapshot. The selected worker stays selected; if it is gone, the worker in its
    /// slot is selected, or else the one at its index.
    pub(super) fn update(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.link = Link::Live;
        let at_ms = self.snapshot.at_ms;
        self.answer = self.answer.take().filter(|answer| at_ms.since(answer.at_ms) < ANSWER_SHOWN);
        let all = &self.snapshot.workers;
        let (slot, _) = self.selected;
        let found = all.iter().position(|worker| id(worker) == self.selected);
        let found = found.or_else(|| all.iter().position(|worker| worker.id.worker == slot));
        self.select(found.unwrap_or(self.at));
    }

    /// Shows the answer to a command.
    pub(super) fn show_answer(&mut self, text: String) {
        self.answer = Some(Answer { text, at_ms: self.snapshot.at_ms });
    }

    /// Returns the answer, as long as it is shown.
    pub(super) fn answer(&self) -> Option<&str> {
        self.answer.as_ref().map(|answer| answer.text.as_str())
    }

    /// Notes that the run has ended and takes no more commands.
    pub(super) fn end(&mut self) {
        self.link = Link::Ended;
        self.question = None;
    }

    /// Returns the index of the selected worker.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Scrolls as little as necessary to show the selected worker in a table of `lines` rows.
    pub(super) fn scroll(&mut self, lines: usize) {
        let last = self.snapshot.workers.len().saturating_sub(lines);
        let least = (self.at + 1).saturating_sub(lines);
        self.first = self.first.clamp(least, self.at.max(least)).min(last);
    }

    fn select(&mut self, at: usize) {
        self.at = at.min(self.snapshot.workers.len().saturating_sub(1));
        self.selected = self.snapshot.workers.get(self.at).map_or(self.selected, id);
    }

    /// Handles a key; the table shows `lines` workers.
    pub(super) fn press(&mut self, key: KeyEvent, lines: usize) -> Response {
        if key.kind == KeyEventKind::Release {
            return Response::Nothing;
        }
        self.answer = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'q') => Response::Quit,
                KeyCode::Char('z') => Response::Suspend,
                _ => Response::Nothing,
            };
        }
        if let Some(question) = self.question.take() {
            let is_confirmed = matches!(key.code, KeyCode::Char('y' | 'Y'));
            return if is_confirmed { Response::Do(question.command) } else { Response::Nothing };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Response::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.select(self.at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.at.saturating_sub(1)),
            KeyCode::PageDown => self.select(self.at + lines.max(1)),
            KeyCode::PageUp => self.select(self.at.saturating_sub(lines.max(1))),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            _ if self.link == Link::Ended => {}
            KeyCode::Char('K') => self.ask_to_kill(),
            KeyCode::Char('d') => {
                let text = "drain: start no more jobs, let those that run finish, and end?".into();
                self.question = Some(Question { text, command: ControlCommand::Drain });
            }
            KeyCode::Char('+' | '=') => {
                return Response::Do(ControlCommand::ScaleBy { workers: 1 });
            }
            KeyCode::Char('-' | '_') => {
                return Response::Do(ControlCommand::ScaleBy { workers: -1 });
            }
            _ => {}
        }
        Response::Nothing
    }

    /// Asks whether to kill the selected worker: this generation, not a later one in its slot.
    fn ask_to_kill(&mut self) {
        let found = self.snapshot.workers.get(self.at);
        let Some((worker, pid)) = found.and_then(|worker| Some((worker, worker.id.pid?))) else {
            self.show_answer("there is no worker in this line".into());
            return;
        };
        let text = format!("kill {} (PID {pid})?", name(worker));
        let worker = WorkerName { slot: worker.id.worker, generation: Some(worker.id.generation) };
        self.question = Some(Question { text, command: ControlCommand::Kill { worker } });
    }
}

fn id(worker: &Worker) -> (u32, u32) {
    (worker.id.worker, worker.id.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::control::top::sample;

    fn press(top: &mut Top, keys: &str) -> Vec<Response> {
        let responses = keys.chars().map(|c| top.press(KeyCode::Char(c).into(), 10));
        responses.filter(|response| *response != Response::Nothing).collect()
    }

    #[test]
    fn harmful_commands_ask_first_and_concern_the_worker_that_was_shown() {
        let mut top = Top::new(sample::run(4));
        let kill = |slot, generation| {
            Response::Do(ControlCommand::Kill {
                worker: WorkerName { slot, generation: Some(generation) },
            })
        };
        assert_eq!(press(&mut top, "Kn"), []);
        assert_eq!(press(&mut top, "KKy"), [], "any key but y means no");
        assert_eq!(press(&mut top, "jK"), []);
        // The worker is replaced while the question is open.
        let mut later = sample::run(4);
        later.workers[1].id.generation += 1;
        top.update(later);
        assert_eq!(top.at(), 1);
        assert_eq!(press(&mut top, "y"), [kill(2, 1)]);
        assert_eq!(press(&mut top, "Ky"), [kill(2, 2)]);
        assert_eq!(press(&mut top, "dy"), [Response::Do(ControlCommand::Drain)]);
        let by = |workers| Response::Do(ControlCommand::ScaleBy { workers });
        assert_eq!(press(&mut top, "+-"), [by(1), by(-1)]);
        assert_eq!(press(&mut top, "q"), [Response::Quit]);
        assert_eq!(
            top.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), 1),
            Response::Quit
        );
    }

    #[test]
    fn an_answer_is_shown_for_a_while() {
        let mut top = Top::new(sample::run(4));
        top.show_answer("done".into());
        let mut later = sample::run(4);
        top.update(later.clone());
        assert_eq!(top.answer(), Some("done"));
        later.at_ms = (Duration::from(later.at_ms) + ANSWER_SHOWN).into();
        top.update(later);
        assert_eq!(top.answer(), None);
    }

    #[test]
    fn a_run_that_has_ended_gets_no_commands() {
        let mut top = Top::new(sample::run(4));
        press(&mut top, "K");
        top.end();
        assert_eq!(press(&mut top, "yKydy+-"), []);
        assert_eq!(press(&mut top, "q"), [Response::Quit]);
    }

    #[test]
    fn the_selected_worker_stays_selected_and_visible() {
        let mut top = Top::new(sample::run(100));
        press(&mut top, "G");
        top.scroll(10);
        assert_eq!((top.at(), top.first), (99, 90));
        press(&mut top, "kkkkkkkkkkkk");
        top.scroll(10);
        assert_eq!((top.at(), top.first), (87, 87));
        // A rolling restart shows a second worker in a slot above.
        let mut rolling = sample::run(100);
        let twin = rolling.workers[3].clone();
        rolling.workers.insert(3, twin);
        top.update(rolling);
        assert_eq!(top.at(), 88);
        top.update(sample::run(5));
        top.scroll(10);
        assert_eq!((top.at(), top.first), (4, 0));
        top.update(sample::run(0));
        top.scroll(0);
        press(&mut top, "jkGK");
        assert_eq!((top.at(), top.first, &top.question), (0, 0, &None));
    }
}

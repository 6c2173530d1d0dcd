//! What does a person look at, and what do keys mean to it? Pure: news in, wishes out.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use records::{Millis, Snapshot, Worker};
use supervisor::model::{Command, WorkerName};

use super::super::show::name;

/// A run on the screen. What is told of it is all in the snapshot.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) snapshot: Snapshot,
    pub(super) link: Link,
    pub(super) question: Option<Question>,
    said: Option<Said>,
    /// The first worker that is in sight.
    pub(super) first: usize,
    selected: (u32, u32),
    /// Where it stood, for when it is gone.
    at: usize,
}

/// Whether there is news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    Live,
    /// For so many seconds there has been none.
    Silent(u64),
    /// There will be none.
    Over,
}

/// Something that is asked before it is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) text: String,
    act: Command,
}

/// What was answered, and when, since the run began.
#[derive(Debug)]
struct Said {
    text: String,
    at_ms: Millis,
}

/// An answer is shown for so long, or until the next key.
const SAID: Duration = Duration::from_secs(5);

/// What is to be done about a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    Nothing,
    Quit,
    Suspend,
    Do(Command),
}

impl Top {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let selected = snapshot.workers.first().map_or((0, 0), id);
        Self { snapshot, link: Link::Live, question: None, said: None, first: 0, selected, at: 0 }
    }

    /// It looks like this now. Who was selected stays so; else whoever has its slot, or its line.
    pub(super) fn look(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.link = Link::Live;
        let at_ms = self.snapshot.at_ms;
        self.said = self.said.take().filter(|said| at_ms.since(said.at_ms) < SAID);
        let all = &self.snapshot.workers;
        let (slot, _) = self.selected;
        let found = all.iter().position(|worker| id(worker) == self.selected);
        let found = found.or_else(|| all.iter().position(|worker| worker.id.worker == slot));
        self.select(found.unwrap_or(self.at));
    }

    /// Something was answered.
    pub(super) fn say(&mut self, text: String) {
        self.said = Some(Said { text, at_ms: self.snapshot.at_ms });
    }

    /// What was answered lately.
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_ref().map(|said| said.text.as_str())
    }

    /// Nothing more will come of it.
    pub(super) fn end(&mut self) {
        self.link = Link::Over;
        self.question = None;
    }

    /// The line of the worker that is selected.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Moves what is in sight, where so many workers are, as little as shows the one selected.
    pub(super) fn scroll(&mut self, lines: usize) {
        let last = self.snapshot.workers.len().saturating_sub(lines);
        let least = (self.at + 1).saturating_sub(lines);
        self.first = self.first.clamp(least, self.at.max(least)).min(last);
    }

    fn select(&mut self, at: usize) {
        self.at = at.min(self.snapshot.workers.len().saturating_sub(1));
        self.selected = self.snapshot.workers.get(self.at).map_or(self.selected, id);
    }

    /// A key was pressed; so many workers are in sight.
    pub(super) fn press(&mut self, key: KeyEvent, lines: usize) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Nothing;
        }
        self.said = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'q') => Wish::Quit,
                KeyCode::Char('z') => Wish::Suspend,
                _ => Wish::Nothing,
            };
        }
        if let Some(question) = self.question.take() {
            let is_meant = matches!(key.code, KeyCode::Char('y' | 'Y'));
            return if is_meant { Wish::Do(question.act) } else { Wish::Nothing };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.select(self.at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.at.saturating_sub(1)),
            KeyCode::PageDown => self.select(self.at + lines.max(1)),
            KeyCode::PageUp => self.select(self.at.saturating_sub(lines.max(1))),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            _ if self.link == Link::Over => {}
            KeyCode::Char('K') => self.ask_to_kill(),
            KeyCode::Char('d') => {
                let text = "drain: start no more jobs, let those that run finish, and end?".into();
                self.question = Some(Question { text, act: Command::Drain });
            }
            KeyCode::Char('+' | '=') => return Wish::Do(Command::ScaleBy { workers: 1 }),
            KeyCode::Char('-' | '_') => return Wish::Do(Command::ScaleBy { workers: -1 }),
            _ => {}
        }
        Wish::Nothing
    }

    /// It is this very process that is meant, and not who may come after it.
    fn ask_to_kill(&mut self) {
        let found = self.snapshot.workers.get(self.at);
        let Some((worker, pid)) = found.and_then(|worker| Some((worker, worker.id.pid?))) else {
            self.say("there is no worker in this line".into());
            return;
        };
        let text = format!("kill {} (PID {pid})?", name(worker));
        let worker = WorkerName { slot: worker.id.worker, generation: Some(worker.id.generation) };
        self.question = Some(Question { text, act: Command::Kill { worker } });
    }
}

fn id(worker: &Worker) -> (u32, u32) {
    (worker.id.worker, worker.id.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::control::top::made_up;

    fn press(top: &mut Top, keys: &str) -> Vec<Wish> {
        let wishes = keys.chars().map(|c| top.press(KeyCode::Char(c).into(), 10));
        wishes.filter(|wish| *wish != Wish::Nothing).collect()
    }

    #[test]
    fn what_harms_is_asked_first_and_means_the_process_that_was_seen() {
        let mut top = Top::new(made_up::run(4));
        let kill = |slot, generation| {
            Wish::Do(Command::Kill { worker: WorkerName { slot, generation: Some(generation) } })
        };
        assert_eq!(press(&mut top, "Kn"), []);
        assert_eq!(press(&mut top, "KKy"), [], "another key than y is no");
        assert_eq!(press(&mut top, "jK"), []);
        // While it is asked the worker is replaced.
        let mut later = made_up::run(4);
        later.workers[1].id.generation += 1;
        top.look(later);
        assert_eq!(top.at(), 1);
        assert_eq!(press(&mut top, "y"), [kill(2, 1)]);
        assert_eq!(press(&mut top, "Ky"), [kill(2, 2)]);
        assert_eq!(press(&mut top, "dy"), [Wish::Do(Command::Drain)]);
        let by = |workers| Wish::Do(Command::ScaleBy { workers });
        assert_eq!(press(&mut top, "+-"), [by(1), by(-1)]);
        assert_eq!(press(&mut top, "q"), [Wish::Quit]);
        assert_eq!(
            top.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), 1),
            Wish::Quit
        );
    }

    #[test]
    fn an_answer_is_shown_for_a_while() {
        let mut top = Top::new(made_up::run(4));
        top.say("done".into());
        let mut later = made_up::run(4);
        top.look(later.clone());
        assert_eq!(top.said(), Some("done"));
        later.at_ms = (Duration::from(later.at_ms) + SAID).into();
        top.look(later);
        assert_eq!(top.said(), None);
    }

    #[test]
    fn nothing_is_asked_of_a_run_that_is_over() {
        let mut top = Top::new(made_up::run(4));
        press(&mut top, "K");
        top.end();
        assert_eq!(press(&mut top, "yKydy+-"), []);
        assert_eq!(press(&mut top, "q"), [Wish::Quit]);
    }

    #[test]
    fn the_selected_one_stays_selected_and_in_sight() {
        let mut top = Top::new(made_up::run(100));
        press(&mut top, "G");
        top.scroll(10);
        assert_eq!((top.at(), top.first), (99, 90));
        press(&mut top, "kkkkkkkkkkkk");
        top.scroll(10);
        assert_eq!((top.at(), top.first), (87, 87));
        // One above it comes to have two lives for a while.
        let mut rolling = made_up::run(100);
        let twin = rolling.workers[3].clone();
        rolling.workers.insert(3, twin);
        top.look(rolling);
        assert_eq!(top.at(), 88);
        top.look(made_up::run(5));
        top.scroll(10);
        assert_eq!((top.at(), top.first), (4, 0));
        top.look(made_up::run(0));
        top.scroll(0);
        press(&mut top, "jkGK");
        assert_eq!((top.at(), top.first, &top.question), (0, 0, &None));
    }
}

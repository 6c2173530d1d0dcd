//! Thins the progress of jobs that a worker reports, before it costs anything: at most one piece of
//! news a second, and the last one is never lost.

use std::time::Duration;

use tokio::time::Instant;

use pool::{News, event::Progress};

/// Shortest time between two pieces of news about the progress of one worker's job.
const INTERVAL: Duration = Duration::from_secs(1);

/// The progress that one worker has reported.
#[derive(Debug, Default)]
pub(super) struct ProgressNews {
    /// When the last piece of news was sent.
    sent_at: Option<Instant>,
    /// What was reported since then: the job's id, and how far it is.
    pending: Option<(u64, Progress)>,
}

impl ProgressNews {
    /// Takes what the worker reported. Returns it as news, or keeps it until it is due.
    pub(super) fn note(&mut self, id: u64, progress: Progress) -> Option<News> {
        self.pending = Some((id, progress));
        self.take_due()
    }

    /// When the kept progress is due; `None` if there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.as_ref()?;
        Some(self.sent_at.map_or_else(Instant::now, |at| at + INTERVAL))
    }

    /// The kept progress as news, once it is due.
    pub(super) fn take_due(&mut self) -> Option<News> {
        let now = Instant::now();
        if self.sent_at.is_some_and(|at| now < at + INTERVAL) {
            return None;
        }
        let (id, progress) = self.pending.take()?;
        self.sent_at = Some(now);
        Some(News::Progress { id, progress })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(permyriad: u16) -> Progress {
        Progress { permyriad, note: "".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_progress_is_one_piece_of_news_a_second_and_the_last_one_arrives() {
        let mut news = ProgressNews::default();
        let first = News::Progress { id: 7, progress: progress(1) };
        assert_eq!(news.note(7, progress(1)), Some(first));
        assert_eq!(news.due(), None);
        for permyriad in 2..=99 {
            assert_eq!(news.note(7, progress(permyriad)), None);
        }
        let due = news.due().unwrap();
        tokio::time::sleep_until(due).await;
        let last = News::Progress { id: 7, progress: progress(99) };
        assert_eq!(news.take_due(), Some(last));
        assert_eq!((news.take_due(), news.due()), (None, None));
    }
}

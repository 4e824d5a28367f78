//! Signals and actions in the store, sealed: what is to be written, and what is read at a start. It never decides.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use model::{TenantId, Timestamp, limits};
use shield::Action;
use store::{Batch, Span, StoreError, SystemStore};

use super::{Defence, Noticed};
use crate::{
    Platform,
    refused::ControlError,
    shelf::{self, ACTIONS, SIGNALS},
};

/// How many rows go into one commit.
const ROWS: usize = 256;
/// How long actions and signals are kept when they are over, in milliseconds.
const KEPT_MS: u64 = limits::SIGNALS_HOURS * 3_600_000;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    signals: VecDeque<Noticed>,
    actions: Vec<Arc<Action>>,
    /// Ids of rows that go.
    signals_gone: Vec<Vec<u8>>,
    actions_gone: Vec<String>,
}

/// Makes room for one of a tenant in what is kept, the newest last. What goes is its tenant's own oldest where that has
/// as many as it may (`most.0`), or else, where there are too many of all (`most.1`), the oldest of whoever has the most:
/// who makes much noise at one tenant hides nothing of another.
pub(super) fn make_room<T>(
    kept: &mut VecDeque<T>,
    of: &Option<TenantId>,
    whose: impl Fn(&T) -> &Option<TenantId>,
    most: (usize, usize),
) -> Option<T> {
    let mut counts: HashMap<&Option<TenantId>, usize> = HashMap::new();
    kept.iter().for_each(|one| *counts.entry(whose(one)).or_default() += 1);
    let own = counts.get(of).copied().unwrap_or_default();
    let from = match own >= most.0 {
        true => of.clone(),
        false if kept.len() >= most.1 => (*counts.iter().max_by_key(|(_, count)| **count)?.0).clone(),
        false => return None,
    };
    let at = kept.iter().position(|one| *whose(one) == from)?;
    kept.remove(at)
}

impl Unsaved {
    pub(super) fn signal(&mut self, noticed: Noticed) {
        if self.signals.len() >= limits::SIGNALS_KEPT {
            self.signals.pop_front();
        }
        self.signals.push_back(noticed);
    }

    pub(super) fn gone(&mut self, noticed: &Noticed) {
        self.signals_gone.push(row_of(noticed));
    }

    pub(super) fn action(&mut self, action: Arc<Action>) {
        self.actions.push(action);
    }

    pub(super) fn action_gone(&mut self, id: &str) {
        self.actions_gone.push(id.to_owned());
    }

    /// The next rows, at most [`ROWS`] of each.
    fn take(&mut self) -> Result<Batch, StoreError> {
        let mut batch = Batch::new();
        for noticed in self.signals.drain(..self.signals.len().min(ROWS)) {
            batch = batch.put(SIGNALS, row_of(&noticed), shelf::encode(&noticed)?);
        }
        for action in self.actions.drain(..self.actions.len().min(ROWS)) {
            batch = batch.put(ACTIONS, action.id.as_str(), shelf::encode(&*action)?);
        }
        // What is put and goes in one commit goes.
        if self.signals.is_empty() {
            batch = self.signals_gone.drain(..).fold(batch, |batch, id| batch.delete(SIGNALS, id));
        }
        if self.actions.is_empty() {
            batch = self.actions_gone.drain(..).fold(batch, |batch, id| batch.delete(ACTIONS, id));
        }
        Ok(batch)
    }
}

/// By time, then by name.
fn row_of(noticed: &Noticed) -> Vec<u8> {
    let mut id = noticed.at.unix_ms().to_be_bytes().to_vec();
    id.extend_from_slice(noticed.id.as_bytes());
    id
}

impl Defence {
    /// Reads what was kept, and forgets what is over for long.
    pub(crate) async fn load(&self, store: &SystemStore, now: Timestamp) -> Result<(), StoreError> {
        let (mut signals, mut actions) = (Vec::new(), Vec::new());
        for space in [SIGNALS, ACTIONS] {
            let mut next = Some(Span::all(space));
            while let Some(span) = next {
                let page = store.scan(span, store::PAGE_ROWS_MAX).await?;
                for row in page.rows {
                    match space == SIGNALS {
                        true => signals.push(shelf::decode::<Noticed>(SIGNALS, &row.value)?),
                        false => actions.push(Arc::new(shelf::decode::<Action>(ACTIONS, &row.value)?)),
                    }
                }
                next = page.next;
            }
        }
        let mut unsaved = self.unsaved.lock();
        let skipped = signals.len().saturating_sub(limits::SIGNALS_KEPT);
        for (at, noticed) in signals.into_iter().enumerate() {
            if at < skipped || now.since_ms(noticed.at) > KEPT_MS {
                unsaved.gone(&noticed);
            } else {
                self.signals.lock().push_back(noticed);
            }
        }
        actions.sort_by_key(|action| action.since);
        for action in actions {
            let end = action.ended.as_ref().map_or(action.until, |(at, _)| *at);
            if action.ended.is_none() {
                // Also those that ended while nobody was here: they are told of as over. Of a store that had more than there
                // may be, the rest goes.
                let id = action.id.clone();
                match self.standing.put(action) {
                    Ok(None) => {}
                    Ok(Some(gone)) => unsaved.action_gone(&gone.id),
                    Err(_full) => unsaved.action_gone(&id),
                }
            } else if now.since_ms(end) > KEPT_MS {
                unsaved.action_gone(&action.id);
            } else {
                self.past.lock().push_back(action);
            }
        }
        Ok(())
    }

    /// Forgets what is over for long.
    pub(super) fn forget(&self, now: Timestamp) {
        let mut signals = self.signals.lock();
        while let Some(oldest) = signals.front().filter(|one| now.since_ms(one.at) > KEPT_MS) {
            self.unsaved.lock().gone(oldest);
            signals.pop_front();
        }
        let mut past = self.past.lock();
        let is_over =
            |action: &Arc<Action>| action.ended.as_ref().is_some_and(|(at, _)| now.since_ms(*at) > KEPT_MS);
        while past.len() > limits::ACTIONS_MAX || past.front().is_some_and(is_over) {
            if let Some(action) = past.pop_front() {
                self.unsaved.lock().action_gone(&action.id);
            }
        }
    }
}

impl Platform {
    /// Writes what was found and done since the last time, and ends what is over.
    pub(crate) async fn save_defence(&self) -> Result<(), ControlError> {
        let _one = self.defence.saving.lock().await;
        self.expire_actions();
        self.defence.forget(self.clock.now());
        loop {
            let batch = self.defence.unsaved.lock().take()?;
            if batch.is_empty() {
                return Ok(());
            }
            self.sealed.system().commit(batch).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_much_noise_hides_nothing_of_others() {
        let names: Vec<Option<TenantId>> = ["one", "two", "three"].map(|name| name.parse().ok()).into();
        let mut kept: VecDeque<(Option<TenantId>, u32)> = VecDeque::new();
        let mut add = |tenant: &Option<TenantId>, n: u32| {
            let gone = make_room(&mut kept, tenant, |one| &one.0, (4, 8));
            kept.push_back((tenant.clone(), n));
            gone
        };
        let [one, two, three] = &names[..] else { panic!("three names") };
        assert_eq!(add(one, 0), None);
        for n in 0..100 {
            let gone = add(two, n);
            assert_eq!(gone, n.checked_sub(4).map(|n| (two.clone(), n)), "its own oldest");
        }
        for n in 0..3 {
            assert_eq!(add(three, n), None);
        }
        assert_eq!(add(one, 1).unwrap().0, *two, "of whoever has the most");
        assert!(kept.iter().any(|kept| *kept == (one.clone(), 0)));
    }
}

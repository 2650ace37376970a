//! From the manifests of one bundle to those of another, so that whoever looks at the store meanwhile finds something that the record knows, and
//! whatever breaks this off at any point is made good by the next one.
//!
//! 1. [`announce`](Changeover::announce): the record names the bundle that is coming beside the one that counts. Both vouch for what is found.
//! 2. [`exchange`](Changeover::exchange): its manifests take their place in one step; then what was there is put away for a way back.
//! 3. [`conclude`](Changeover::conclude): the record says that it has come.
//!
//! Between the first and the second the images get their names in the runtime. Names are given one after the other, so that a power cut may leave
//! some given under the manifests of the other bundle. The record says so: whoever finds a bundle that was coming has the one that counts by
//! then give its names again, which is the same however often it is done, and then says that it is [settled](Changeover::settled).
//!
//! Each step is on the disk before the next begins. An agent that looks between any two of them accepts what it finds, so that nothing has to wake
//! it afterwards. [`Changeover::begin`] finds out by the manifests themselves how far an earlier one has got, and ends it or forgets it.

use std::path::{Path, PathBuf};

use super::install::{self, InstallError, Staged};
use super::state::{Applied, State, StateError};

/// Why one bundle has not taken the place of another.
#[derive(Debug, thiserror::Error)]
pub enum ChangeoverError {
    /// The record can't be read or written.
    #[error(transparent)]
    Record(#[from] StateError),
    /// There is no way back.
    #[error("there is no bundle before this one")]
    NothingBefore,
    /// Somebody has changed what was to be the way back.
    #[error("what bundle {0} had put there was changed in the store; apply that bundle again instead")]
    Edited(u64),
    /// The manifests can't be put into the store.
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// From one bundle to another. One at a time: whoever begins one holds the node's lock for bundles.
#[derive(Debug)]
pub struct Changeover {
    store: PathBuf,
    record: PathBuf,
    state: State,
    is_broken_off: bool,
}

impl Changeover {
    /// Begins one in this store with this record, once an earlier one is out of the way.
    ///
    /// # Errors
    /// When the record can't be read, or what an earlier one has left can't be put right.
    pub fn begin(store: &Path, record: &Path) -> Result<Self, ChangeoverError> {
        let state = State::read(record)?;
        let is_broken_off = state.coming.is_some();
        let mut changeover =
            Self { store: store.to_owned(), record: record.to_owned(), state, is_broken_off };
        if is_broken_off {
            changeover.settle()?;
        }
        Ok(changeover)
    }

    /// Whether an earlier one was broken off, so that some of its images may have their names and others not. The record says so until
    /// [`settled`](Self::settled), which is the caller's to say once the bundle that counts has given its images their names again.
    pub fn is_broken_off(&self) -> bool {
        self.is_broken_off
    }

    /// Says that what an earlier one has left is put right.
    ///
    /// # Errors
    /// When that can't be written.
    pub fn settled(&mut self) -> Result<(), ChangeoverError> {
        self.state.write(&self.record)?;
        self.is_broken_off = false;
        Ok(())
    }

    /// What the node remembers of bundles.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes over what the record says by now.
    pub fn tidied(&mut self, state: State) {
        self.state = state;
    }

    /// What was broken off is ended if the manifests have taken their place, and forgotten if not.
    fn settle(&mut self) -> Result<(), InstallError> {
        let Some(coming) = &self.state.coming else { return Ok(()) };
        let has_come = install::in_store(&self.store).is_some_and(|there| there == coming.manifests);
        if !has_come {
            self.state.forget_coming();
            return Ok(());
        }
        let before = self.state.current.as_ref().filter(|before| before.digest != coming.digest);
        let left_over = install::left_over(&self.store);
        if before.is_some_and(|before| left_over.as_ref() == Some(&before.manifests)) {
            install::put_away(&self.store, true)?;
        }
        self.state.arrive();
        Ok(())
    }

    /// The bundle before, if there is a way back to it.
    ///
    /// # Errors
    /// When there is none, or its manifests are no longer those that a trusted key had signed.
    pub fn way_back(&self) -> Result<Applied, ChangeoverError> {
        let previous = self.state.previous.clone().ok_or(ChangeoverError::NothingBefore)?;
        if previous.verified && install::before(&self.store).as_ref() != Some(&previous.manifests) {
            return Err(ChangeoverError::Edited(previous.serial));
        }
        Ok(previous)
    }

    /// Says that a bundle is coming. Its number counts from here on, so that whoever cuts the power can't have it forgotten.
    ///
    /// # Errors
    /// When that can't be written.
    pub fn announce(&mut self, coming: Applied) -> Result<(), ChangeoverError> {
        self.state.highest = self.state.highest.max(coming.serial);
        self.state.coming = Some(coming);
        Ok(self.state.write(&self.record)?)
    }

    /// Puts the manifests of the announced bundle into the store, and those that were there out of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn exchange(&self, staged: &Staged) -> Result<(), ChangeoverError> {
        let had_some = staged.exchange()?;
        Ok(install::put_away(&self.store, had_some && !self.is_same())?)
    }

    /// Puts the manifests of the bundle before into the store again; it must have been announced.
    ///
    /// # Errors
    /// When there are none, or the system refuses.
    pub fn exchange_back(&self) -> Result<(), ChangeoverError> {
        Ok(install::roll_back(&self.store)?)
    }

    /// Says that the announced bundle has come; what the node remembers now.
    ///
    /// # Errors
    /// When that can't be written.
    pub fn conclude(mut self) -> Result<State, ChangeoverError> {
        self.state.arrive();
        self.state.write(&self.record)?;
        Ok(self.state)
    }

    /// Whether the one that is coming is the one that is there.
    fn is_same(&self) -> bool {
        let digest = |applied: &Option<Applied>| applied.as_ref().map(|it| it.digest);
        digest(&self.state.coming) == digest(&self.state.current)
    }
}

#[cfg(test)]
mod tests;

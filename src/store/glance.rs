//! What the store says now, told once: as an agent would hear it, without watching and without writing.
//!
//! The guard has its say: what a restart would not believe to be gone is not gone here, either.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::dir::{DirSettings, on_thread};
use super::reader::{Reader, Said};
use super::settle::Look;
use super::{Freshness, Snapshot, Thresholds, last_good, reading};
use crate::boot_time::BootTime;

/// A store that doesn't answer for so long is not waited for: its last good content is what there is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks once.
pub async fn glance(settings: DirSettings) -> Snapshot {
    let thread = settings.clone();
    if let Some(looking) = on_thread("store-glance", move || look(&thread))
        && let Ok(Ok(snapshot)) = timeout(PATIENCE, looking).await
    {
        return snapshot;
    }
    let reason = format!("{} does not answer", settings.path.display());
    let objects = last_good::load(&settings.state_file).ok().flatten().map(|(objects, _)| objects);
    objects.map_or_else(Snapshot::default, |objects| Snapshot {
        objects,
        freshness: Freshness::LastGood { reason },
        ..Snapshot::default()
    })
}

fn look(settings: &DirSettings) -> Snapshot {
    let root: Arc<Path> =
        std::path::absolute(&settings.path).map_or_else(|_| settings.path.as_path().into(), Arc::from);
    let thresholds = Thresholds { hold: settings.empty_hold, ..Thresholds::default() };
    let mut reader = Reader::new(root, reading::read, thresholds, None, settings.trust.clone());
    match last_good::load(&settings.state_file) {
        Ok(Some((objects, memory))) => {
            reader.restore(Arc::new(Snapshot { objects, ..Snapshot::default() }), memory);
        }
        Ok(None) => {}
        Err(_) => reader.forget(),
    }
    let look = Look::Settled { writing: std::collections::HashSet::new() };
    let seen = reader.look(&look, Said::default(), &BootTime::now());
    Snapshot::clone(&seen.snapshot)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ONE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: a}\n";

    #[tokio::test]
    async fn a_glance_sees_what_is_there_and_what_was_there_last_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let settings = DirSettings::new(dir.path().join("manifests"), dir.path().join("last-good.json"));
        assert_eq!(glance(settings.clone()).await.freshness, Freshness::Unknown, "there never was any");
        fs::create_dir(&settings.path).unwrap();
        fs::write(settings.path.join("one.yaml"), ONE).unwrap();
        let seen = glance(settings.clone()).await;
        assert_eq!((seen.objects.0.len(), seen.freshness), (1, Freshness::Current));
        assert!(!settings.state_file.exists());
        last_good::save(&settings.state_file, &seen.objects, &super::super::reader::Memory::default())
            .unwrap();
        fs::remove_dir_all(&settings.path).unwrap();
        let seen = glance(settings.clone()).await;
        assert_eq!(seen.objects.0.len(), 1);
        assert!(matches!(seen.freshness, Freshness::LastGood { .. }), "{:?}", seen.freshness);
    }
}

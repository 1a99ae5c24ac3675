//! Machines that outlive the service: each has a file that says how it is.
//!
//! A machine is written down when the service looks at it or changes it, so a service that is killed at
//! any moment finds each as it was when it was last looked at, with the orders it had still to obey. Time
//! passes from then on, and boot servers answer again when the service does. A command that ran ends with the service, as one does
//! whose connection breaks off.

use super::{
    Kind, World,
    machine::{Kept, Machine},
};
use crate::nodes::Node;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};
use tokio::time::Instant;

/// The files of the machines of one world.
pub(super) struct Keeper {
    directory: PathBuf,
    /// Seed and speed: another world's machines are not its own.
    world: (u64, u32),
    began: SystemTime,
    /// What was written last, by node.
    written: BTreeMap<String, Vec<u8>>,
}

/// One of them.
#[derive(Serialize, Deserialize)]
struct File {
    world: (u64, u32),
    /// When the world began, by the clock: the machine's times count from then.
    began: SystemTime,
    machine: Kept,
}

impl World {
    /// The world that is kept in `directory`, with a machine for each of `nodes`. One of another
    /// seed or speed than before begins now.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn kept(kind: Kind, nodes: &[Arc<Node>], directory: &Path) -> io::Result<Arc<Self>> {
        let names = nodes.iter().map(|node| node.name.clone());
        let (keeper, kept) = Keeper::open(directory, (kind.seed, kind.speed), names)?;
        let age = SystemTime::now().duration_since(keeper.began).unwrap_or_default();
        let epoch = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        Ok(Self::with(kind, nodes, epoch, (Some(keeper), kept)))
    }
}

impl Keeper {
    /// What is kept in `directory` of the machines of `nodes` in the world of that seed and
    /// speed; where there is none of them, they begin now.
    fn open(
        directory: &Path,
        world: (u64, u32),
        nodes: impl Iterator<Item = String>,
    ) -> io::Result<(Self, BTreeMap<String, Kept>)> {
        fs::create_dir_all(directory)?;
        let files = nodes.filter_map(|name| {
            let text = fs::read(directory.join(&name)).ok()?;
            let file = serde_json::from_slice::<File>(&text);
            let file = file.inspect_err(|error| {
                tracing::warn!(node = name, %error, "this simulated machine begins anew");
            });
            Some((name, file.ok().filter(|file| file.world == world)?))
        });
        let files: Vec<_> = files.collect();
        let began = files.iter().map(|(_, file)| file.began).max();
        let began = began.unwrap_or_else(SystemTime::now);
        // Others are of the world that was before another one came between.
        let mine = files.into_iter().filter(|(_, file)| file.began == began);
        let kept = mine.map(|(name, file)| (name, file.machine)).collect();
        let directory = directory.to_owned();
        Ok((Self { directory, world, began, written: BTreeMap::new() }, kept))
    }

    /// Writes a machine down if it is not as it was written last.
    pub(super) fn keep(&mut self, machine: &Machine) {
        let name = &machine.node.name;
        let file = File { world: self.world, began: self.began, machine: machine.kept() };
        let kept = serde_json::to_vec(&file).map_err(io::Error::from).and_then(|text| {
            if self.written.get(name) == Some(&text) {
                return Ok(());
            }
            // Whole or not at all; the power of the server may fail without harm to anybody.
            let new = self.directory.join(format!(".{name}"));
            fs::write(&new, &text)?;
            fs::rename(new, self.directory.join(name))?;
            self.written.insert(name.clone(), text);
            Ok(())
        });
        if let Err(error) = kept {
            tracing::warn!(node = name, %error, "this simulated machine cannot be kept");
        }
    }
}

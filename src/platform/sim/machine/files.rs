//! Errands about files on the node, and about other kernels and roots than its own.

use super::{
    Answer, Image, Machine, Memory, Moment, Work,
    commands::{Failed, LEAVE, value},
};
use crate::platform::{Errand, Variables};
use std::sync::Arc;

impl Machine {
    /// Does one of them.
    pub(super) fn obey_about_files(
        &mut self,
        at: Moment,
        memory: &mut Memory,
        errand: &Errand,
        image: Option<Arc<Image>>,
    ) -> Result<String, Failed> {
        match errand {
            Errand::Format(variables) => self.format(memory, variables)?,
            Errand::Store { path } => {
                memory.files.insert(path.clone(), image.unwrap_or_else(nothing));
            }
            Errand::FromFile { path, errand } => {
                let image = stored(memory, path)?;
                return self.obey(at, memory, errand, Some(image));
            }
            Errand::Restore { path, parts, .. } => {
                let image = stored(memory, path)?;
                for (_, partition) in parts {
                    self.write_image(partition, Arc::clone(&image))?;
                }
            }
            Errand::UnpackArchive(archive) => {
                memory.archives.insert(archive.directory.clone());
            }
            Errand::RunArchive { directory, script, .. }
                if !memory.archives.contains(directory) =>
            {
                return Err((127, format!("{directory}/{script}: not found")));
            }
            Errand::RootDevice { beside } => {
                let device = |number| format!("{}{number}", self.disk.device);
                let root = memory.root.map_or_else(|| "rootfs".to_owned(), device);
                let beside = self.disk.number(beside).map(device).unwrap_or_default();
                return Ok(format!("{root}\n{beside}\n"));
            }
            Errand::Kexec { root, kernel, initrd, params, root_device, mounted, .. } => {
                let number = root_device.as_ref().and_then(|name| self.disk.number(name));
                let root_device =
                    number.map(|number| format!("root={}{number} ", self.disk.device));
                let params = root_device.unwrap_or_default() + params;
                if *mounted {
                    self.kexec(at, memory, root, [kernel, initrd], &params)?;
                } else {
                    self.kexec_deployment(at, memory, root, [kernel, initrd], params)?;
                }
            }
            // What a script or a module does cannot be known here.
            _ => {}
        }
        Ok(String::new())
    }

    fn format(&mut self, memory: &mut Memory, variables: &Variables) -> Result<(), Failed> {
        let value = |name| value(variables, name).to_owned();
        let [kind, name] = ["KADEPLOY_FS_TYPE", "KADEPLOY_DEPLOY_PART"].map(value);
        self.make_filesystem(memory, &kind, &name)
    }

    /// What a pre-install has to do: everything that is needed for the image to come.
    pub(super) fn pre_install(
        &mut self,
        memory: &mut Memory,
        variables: &Variables,
    ) -> Result<(), Failed> {
        self.partition(memory, variables)?;
        if value(variables, "KADEPLOY_FS_TYPE").is_empty() {
            return Ok(());
        }
        self.format(memory, variables)?;
        let names = ["KADEPLOY_DEPLOY_PART", "KADEPLOY_ENV_EXTRACTION_DIR"];
        let [partition, directory] = names.map(|name| value(variables, name));
        self.mount(memory, partition, directory)
    }

    fn kexec_deployment(
        &mut self,
        at: Moment,
        memory: &Memory,
        root: &str,
        files: [&String; 2],
        params: String,
    ) -> Result<(), Failed> {
        let stored = |name: &&String| memory.files.contains_key(&format!("{root}/{name}"));
        if let Some(missing) = files.iter().find(|name| !stored(name)) {
            return Err((1, format!("kernel not found: {root}/{missing}")));
        }
        let boot = self.boots;
        self.later(at + LEAVE, Work::KexecDeployment { boot, params });
        Ok(())
    }

    /// An installed system that does not know the service's key is not ours to change.
    pub(super) fn shut(&mut self, at: Moment, errand: &Errand) -> Result<String, Failed> {
        match errand {
            Errand::BootId => Ok(format!("{}\n", self.boot_id())),
            Errand::Reboot => Ok(self.leave(at)),
            _ => Err((1, "this is not the deployment system".to_owned())),
        }
    }

    pub(super) fn back(&mut self, state: super::State, answer: Answer) -> Answer {
        self.state = state;
        answer
    }
}

fn stored(memory: &Memory, path: &str) -> Result<Arc<Image>, Failed> {
    let missing = || (1, format!("{path}: No such file or directory"));
    memory.files.get(path).cloned().ok_or_else(missing)
}

/// A file of which nothing is known.
fn nothing() -> Arc<Image> {
    Arc::new(Image::unknown(String::new(), 0))
}

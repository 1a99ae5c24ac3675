//! The fields of a description and their rules.

use super::{Invalid, fields::Fields, without_password};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who sees an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Everyone.
    Public,
    /// Those who know its owner.
    Shared,
    /// Its owner.
    Private,
}

/// What is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OsKind {
    /// A Linux kernel.
    Linux,
    /// Linux under Xen.
    Xen,
    /// Anything else: its own boot sector is started.
    Other,
}

impl OsKind {
    /// As scripts and profiles name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Xen => "xen",
            Self::Other => "other",
        }
    }
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageKind {
    /// An archive of a root file system.
    Tar,
    /// The bytes of a partition or of a disk.
    Dd,
    /// An fsarchiver archive.
    Fsa,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// fsarchiver's own, levels 0 to 9.
    Level(u8),
}

impl Compression {
    /// Every program that decompresses a stream.
    const STREAMS: [(&'static str, Self); 4] =
        [("gzip", Self::Gzip), ("bzip2", Self::Bzip2), ("xz", Self::Xz), ("zstd", Self::Zstd)];

    /// The program that decompresses it.
    pub fn program(self) -> &'static str {
        Self::STREAMS.iter().find(|(_, kind)| *kind == self).map_or("cat", |(word, _)| word)
    }
}

/// The image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Where it is.
    pub file: String,
    /// What it is.
    pub kind: ImageKind,
    /// How it is compressed.
    pub compression: Compression,
    /// Our own: SHA-256 it must have, 64 hexadecimal digits.
    pub sha256: Option<String>,
}

/// An archive with a script, unpacked and run in the deployment system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Where it is.
    pub file: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Path inside the archive, with arguments; none: unpack only.
    pub script: Option<String>,
    /// SHA-256 it had when the environment was recorded, where that is known.
    pub sha256: Option<String>,
}

/// How it boots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Path of the kernel inside the image.
    pub kernel: String,
    /// Path of the initial ramdisk inside the image.
    pub initrd: String,
    /// Its command line.
    pub kernel_params: String,
    /// Path of the hypervisor inside the image.
    pub hypervisor: String,
    /// Its command line.
    pub hypervisor_params: String,
    /// The disk to boot from, for an image of several partitions.
    #[serde(default)]
    pub block_device: String,
    /// The partition there.
    #[serde(default)]
    pub partition: u32,
}

/// Where one filesystem of an image goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionImage {
    /// Its number in the image.
    pub id: i64,
    /// The partition.
    pub device: String,
}

/// A checked description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its version, from 1.
    pub version: i64,
    /// What it is, for people.
    pub description: String,
    /// Who made it.
    pub author: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// Nodes that run it must not be rebooted into it again.
    pub destructive: bool,
    /// What is booted.
    pub os: OsKind,
    /// The image.
    pub image: Image,
    /// Replaces partitioning and formatting.
    pub preinstall: Option<Archive>,
    /// Run after the image was written; none given at all is not the same as an empty list.
    pub postinstalls: Option<Vec<Archive>>,
    /// How it boots.
    pub boot: Boot,
    /// For `mkfs -t`; empty for images that bring their own.
    pub filesystem: String,
    /// Partition type, one byte.
    pub partition_type: u8,
    /// The image holds several partitions.
    #[serde(default)]
    pub multipart: bool,
    /// Where filesystems of an fsarchiver image go.
    #[serde(default)]
    pub partitions: Vec<PartitionImage>,
    /// The architecture it is for; any where it does not say.
    #[serde(default)]
    pub arch: Option<String>,
    /// Fields nobody knows, to be told to the user.
    pub unused: Vec<String>,
}

impl Environment {
    /// The references of its image, its pre- and its post-install archives, each with the digest that
    /// the file must have.
    pub fn digests(&mut self) -> impl Iterator<Item = (&str, &mut Option<String>)> {
        let archives = self.preinstall.iter_mut().chain(self.postinstalls.iter_mut().flatten());
        let archives = archives.map(|one| (one.file.as_str(), &mut one.sha256));
        std::iter::once((self.image.file.as_str(), &mut self.image.sha256)).chain(archives)
    }

    /// Checks a description and builds the environment. The first mistake ends it.
    pub fn parse(map: &Map<String, Value>) -> Result<Self, Invalid> {
        let fields = Fields::new(map, "");
        let image_fields = fields.mandatory_section("image")?;
        let boot_fields = fields.section("boot")?;
        let environment = Self {
            name: fields.text("name")?,
            version: fields.integer_or("version", 1)?,
            description: fields.text_or("description", "")?,
            author: fields.text_or("author", "")?,
            visibility: fields.choice("visibility", &VISIBILITIES, Some(Visibility::Private))?,
            destructive: fields.boolean_or("destructive", false)?,
            os: fields.choice("os", &OS_KINDS, None)?,
            image: image(&image_fields)?,
            preinstall: fields.section("preinstall")?.map(|part| archive(&part)).transpose()?,
            postinstalls: postinstalls(&fields, map)?,
            boot: boot_fields.as_ref().map(boot).transpose()?.unwrap_or_default(),
            filesystem: filesystem(&fields)?,
            partition_type: partition_type(&fields)?,
            multipart: fields.boolean_or("multipart", false)?,
            partitions: partitions(&fields)?,
            arch: Some(fields.text_or("arch", "")?).filter(|arch| !arch.is_empty()),
            unused: Vec::new(),
        };
        environment.check_multipart(&fields, boot_fields.as_ref())?;
        environment.check_tar()?;
        let mut unused = fields.unused();
        unused.retain(|name| !LATER.contains(&name.as_str()));
        Ok(Self { unused, ..environment })
    }

    /// The same without the passwords that addresses of its files may hold.
    #[must_use]
    pub fn without_passwords(mut self) -> Self {
        let archives = self.preinstall.iter_mut().chain(self.postinstalls.iter_mut().flatten());
        let files = archives.map(|archive| &mut archive.file).chain([&mut self.image.file]);
        files.for_each(|file| *file = without_password(file));
        self
    }

    /// Of several partitions it must be known where they go and which one boots.
    fn check_multipart(
        &self,
        fields: &Fields<'_>,
        boot: Option<&Fields<'_>>,
    ) -> Result<(), Invalid> {
        if !self.multipart {
            return Ok(());
        }
        let mandatory = |field: &str| Invalid::Field {
            field: field.to_owned(),
            message: "The field is mandatory".to_owned(),
        };
        if self.image.kind != ImageKind::Fsa {
            let why = "an image of several partitions is one of fsarchiver: kind 'fsa'";
            return Err(fields.wrong("multipart", why));
        }
        if self.boot.block_device.is_empty() {
            return Err(mandatory("boot/block_device"));
        }
        if boot.is_none() || self.boot.partition == 0 {
            return Err(mandatory("boot/partition"));
        }
        if self.partitions.is_empty() {
            return Err(mandatory("options/partitions"));
        }
        Ok(())
    }

    /// A tar image must say what to boot and on which filesystem.
    fn check_tar(&self) -> Result<(), Invalid> {
        let wanted = [
            ("kernel", &self.boot.kernel, true),
            ("filesystem", &self.filesystem, true),
            ("hypervisor", &self.boot.hypervisor, self.os == OsKind::Xen),
        ];
        if self.image.kind != ImageKind::Tar {
            return Ok(());
        }
        match wanted.iter().find(|(_, value, needed)| *needed && value.is_empty()) {
            None => Ok(()),
            Some((name, ..)) => Err(Invalid::Rule(format!(
                "The field '{name}' is mandatory for OS {} with the 'tar' image kind",
                self.os.word()
            ))),
        }
    }
}

const VISIBILITIES: [(&str, Visibility); 3] = [
    ("public", Visibility::Public),
    ("private", Visibility::Private),
    ("shared", Visibility::Shared),
];
const OS_KINDS: [(&str, OsKind); 3] =
    [("linux", OsKind::Linux), ("xen", OsKind::Xen), ("other", OsKind::Other)];
const IMAGE_KINDS: [(&str, ImageKind); 3] =
    [("tar", ImageKind::Tar), ("dd", ImageKind::Dd), ("fsa", ImageKind::Fsa)];
/// Fields of other generations of descriptions that are known and change nothing here.
const LATER: [&str; 2] = ["alias", "user"];

fn image(fields: &Fields<'_>) -> Result<Image, Invalid> {
    let file = fields.text("file")?;
    let kind = fields.choice("kind", &IMAGE_KINDS, None)?;
    let compression = if kind == ImageKind::Fsa {
        let level = fields.integer_or("compression", 0)?;
        match u8::try_from(level) {
            Ok(level @ 0..=9) => Compression::Level(level),
            _ => return Err(fields.wrong("compression", "must be in the range 0..9")),
        }
    } else {
        fields.choice("compression", &Compression::STREAMS, None)?
    };
    let sha256 = fields.text_or("sha256", "")?.to_ascii_lowercase();
    if !sha256.is_empty() && (sha256.len() != 64 || !sha256.chars().all(|c| c.is_ascii_hexdigit()))
    {
        return Err(fields.wrong("sha256", "must be 64 hexadecimal digits"));
    }
    Ok(Image { file, kind, compression, sha256: (!sha256.is_empty()).then_some(sha256) })
}

fn archive(fields: &Fields<'_>) -> Result<Archive, Invalid> {
    let script = fields.text_or("script", "none")?;
    Ok(Archive {
        file: fields.text("archive")?,
        compression: fields.choice("compression", &Compression::STREAMS, None)?,
        script: (script != "none").then_some(script),
        sha256: None,
    })
}

fn postinstalls(
    fields: &Fields<'_>,
    map: &Map<String, Value>,
) -> Result<Option<Vec<Archive>>, Invalid> {
    let given = map.get("postinstalls").is_some_and(|value| !value.is_null());
    let list = fields.sections("postinstalls")?.iter().map(archive).collect::<Result<_, _>>()?;
    Ok(given.then_some(list))
}

fn boot(fields: &Fields<'_>) -> Result<Boot, Invalid> {
    Ok(Boot {
        kernel: fields.text_or("kernel", "")?,
        initrd: fields.text_or("initrd", "")?,
        kernel_params: fields.text_or("kernel_params", "")?,
        hypervisor: fields.text_or("hypervisor", "")?,
        hypervisor_params: fields.text_or("hypervisor_params", "")?,
        block_device: device(fields, "block_device", fields.text_or("block_device", "")?)?,
        partition: u32::try_from(fields.integer_or("partition", 0)?)
            .map_err(|_| fields.wrong("partition", "must be the number of a partition"))?,
    })
}

/// Goes into a shell command on the nodes: a plain word.
fn filesystem(fields: &Fields<'_>) -> Result<String, Invalid> {
    let name = fields.text_or("filesystem", "")?;
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        Ok(name)
    } else {
        Err(fields.wrong("filesystem", format!("'{name}' is not the name of a filesystem")))
    }
}

fn partition_type(fields: &Fields<'_>) -> Result<u8, Invalid> {
    let number = fields.integer_or("partition_type", 0)?;
    u8::try_from(number).map_err(|_| fields.wrong("partition_type", "must be in the range 0..255"))
}

/// Goes into commands on the nodes, as do those of `options`: a path or a name of a disk.
fn device(fields: &Fields<'_>, name: &str, text: String) -> Result<String, Invalid> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._:@#-".contains(c)) {
        return Ok(text);
    }
    Err(fields.wrong(name, format!("'{text}' is not the name of a disk or a partition")))
}

/// The partitions of `options`.
fn partitions(fields: &Fields<'_>) -> Result<Vec<PartitionImage>, Invalid> {
    let Some(options) = fields.section("options")? else { return Ok(Vec::new()) };
    let mut partitions: Vec<PartitionImage> = Vec::new();
    for one in options.sections("partitions")? {
        let id = one.mandatory_integer("id")?;
        let to = one.text("device")?;
        let to = device(&one, "device", to)?;
        if partitions.iter().any(|known| known.id == id) {
            return Err(one.wrong("id", format!("Partition id #{id} is already defined")));
        }
        if partitions.iter().any(|known| known.device == to) {
            return Err(one.wrong("device", format!("Partition device '{to}' is already defined")));
        }
        partitions.push(PartitionImage { id, device: to });
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests;

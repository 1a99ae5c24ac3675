//! What takes an image, as one simple command: a site's own command puts it between quotes of
//! its own.

use super::Errand;
use crate::{environments::Compression, platform::fill::is_plain};

impl Errand {
    /// What it is to take the image on standard input, without any quotes of ours.
    ///
    /// # Errors
    /// It cannot be said so: why, and the way out.
    pub(in crate::platform) fn simple(&self) -> Result<String, String> {
        match self.bare() {
            Self::Unpack(archive) => {
                let option = match archive.compression {
                    Compression::Gzip => "-xz",
                    Compression::Bzip2 => "-xj",
                    Compression::Xz => "-xJ",
                    Compression::Zstd => "--zstd -x",
                    Compression::Level(_) => "-x",
                };
                let (options, directory) = (&archive.options, plain(&archive.directory)?);
                let words = ["tar", options, "-C", directory, option];
                Ok(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
            }
            Self::WriteImage { compression, device } => {
                if !device.starts_with("/dev/") {
                    return Err(format!(
                        "{device} is no path of a device: name the disk and the partition by their \
                         paths, or take another instance of BroadcastEnv"
                    ));
                }
                Ok(format!("{} -cd > {}", compression.program(), plain(device)?))
            }
            Self::Store { path } => Ok(format!("cat - > {}", plain(path)?)),
            other => Err(format!("it is none that takes an image: {}", other.text())),
        }
    }
}

fn plain(path: &str) -> Result<&str, String> {
    if is_plain(path) { Ok(path) } else { Err(format!("{path:?} cannot stand in a command")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Unpacking;

    #[test]
    fn images_are_taken_by_one_simple_command() {
        let unpack = |compression| {
            let (directory, options) = ("/mnt/dest".to_owned(), "--xattrs".to_owned());
            Errand::Unpack(Unpacking { directory, compression, options }).simple().unwrap()
        };
        assert_eq!(unpack(Compression::Gzip), "tar --xattrs -C /mnt/dest -xz");
        assert_eq!(unpack(Compression::Zstd), "tar --xattrs -C /mnt/dest --zstd -x");
        let write = |device: &str| {
            Errand::WriteImage { compression: Compression::Xz, device: device.to_owned() }.simple()
        };
        assert_eq!(write("/dev/sda3").unwrap(), "xz -cd > /dev/sda3");
        assert!(write("PROD@disk0").unwrap_err().contains("another instance"));
        assert!(write("/dev/sda;reboot").unwrap_err().contains("cannot stand"));
        let store = Errand::Store { path: "/rambin/_KATMP_image".to_owned() };
        assert_eq!(store.simple().unwrap(), "cat - > /rambin/_KATMP_image");
    }
}

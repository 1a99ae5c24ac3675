use super::{quote, text::INSIDE, *};
use proptest::prelude::*;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

fn inside(root: &Path, path: &str) -> (bool, String) {
    let script = format!("{INSIDE} inside \"$1\" \"$2\"");
    let run = Command::new("sh").args(["-c", &script, "sh"]).arg(root).arg(path).output();
    let run = run.unwrap();
    let found = String::from_utf8(run.stdout).unwrap();
    (run.status.success(), found.trim().replace(root.to_str().unwrap(), ""))
}

#[test]
fn links_are_followed_as_in_a_chroot() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    fs::create_dir(root.join("boot")).unwrap();
    fs::write(root.join("boot/vmlinuz-6"), "").unwrap();
    symlink("/boot/vmlinuz-6", root.join("vmlinuz")).unwrap();
    symlink("vmlinuz-6", root.join("boot/vmlinuz")).unwrap();
    symlink("../../../boot", root.join("kernels")).unwrap();
    symlink("/etc/passwd", root.join("passwd")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    for path in ["/vmlinuz", "boot/vmlinuz", "/kernels/./vmlinuz", "/../vmlinuz"] {
        assert_eq!(inside(root, path), (true, "/boot/vmlinuz-6".into()), "{path}");
    }
    for path in ["/missing", "/passwd", "/loop", "/boot"] {
        assert!(!inside(root, path).0, "{path}");
    }
}

/// Every errand, each with a word that a shell would take apart.
fn hostile(word: &str) -> Vec<Errand> {
    let text = || word.to_owned();
    let variables =
        || ["KADEPLOY_ENV", "KADEPLOY_DEPLOY_PART"].map(|name| (name.to_owned(), text())).to_vec();
    let unpacking =
        || Unpacking { directory: text(), compression: Compression::Zstd, options: String::new() };
    vec![
        Errand::BootId,
        Errand::IdentifyDisk { device: text() },
        Errand::Ticketed {
            ticket: DiskTicket { id: text(), device: text(), disk: DiskId::told(word) },
            errand: Errand::MakeSwap { partition: text() }.into(),
        },
        Errand::Partition(variables()),
        Errand::MakeFilesystem {
            filesystem: text(),
            options: String::new(),
            partition: text(),
            directory: text(),
        },
        Errand::MakeSwap { partition: text() },
        Errand::Mount { partition: text(), directory: text() },
        Errand::Unmount { partition: text() },
        Errand::Sync,
        Errand::Tidy { directory: text(), unmount: true },
        Errand::Tidy { directory: text(), unmount: false },
        Errand::AddKeys { directory: text() },
        Errand::Unpack(unpacking()),
        Errand::UnpackArchive(unpacking()),
        Errand::WriteImage { compression: Compression::Xz, device: text() },
        Errand::CheckFiles { root: text(), files: vec![("kernel", text())] },
        Errand::InstallBootLoader(variables()),
        kexec(text(), None),
        kexec(text(), Some(variables())),
        Errand::Format(variables()),
        Errand::RunScript { variables: variables(), arguments: vec![text()] },
        Errand::Exec { variables: variables(), command: "true".into() },
        Errand::Store { path: text() },
        Errand::FromFile { path: text(), errand: Errand::Unpack(unpacking()).into() },
        Errand::Restore { path: text(), level: 3, parts: vec![(0, text()), (1, text())] },
        Errand::LoadDrivers(vec![text()]),
        Errand::RootDevice { beside: text() },
        Errand::Reboot,
    ]
}

fn kexec(word: String, script: Option<Variables>) -> Errand {
    Errand::Kexec {
        root: word.clone(),
        kernel: word.clone(),
        initrd: word.clone(),
        params: word.clone(),
        root_device: Some(word),
        mounted: true,
        script,
    }
}

/// What a shell prints for an errand that reads `input`.
fn printed(errand: &Errand, input: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-c", &errand.text()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn what_scripts_are_told_arrives_as_it_was_written() {
    let variables: Variables = vec![
        ("SITE".into(), "it's $HOME; \"x\"".into()),
        ("KADEPLOY_DEPLOY_PART".into(), "/dev/x".into()),
    ];
    let exec = Errand::Exec {
        variables: variables.clone(),
        command: "sh -c 'printf \"%s|%s\" \"$SITE\" \"$KADEPLOY_DEPLOY_PART\"'".into(),
    };
    assert_eq!(printed(&exec, ""), "it's $HOME; \"x\"|/dev/x");
    let run = Errand::RunScript { variables, arguments: vec!["a b".into(), "$c".into()] };
    let script = "#!/bin/sh\nprintf '%s|%s|%s' \"$SITE\" \"$1\" \"$2\"\n";
    assert_eq!(printed(&run, script), "it's $HOME; \"x\"|a b|$c");
}

#[test]
fn the_root_and_a_partition_are_told_by_their_devices() {
    let told = |beside: &str| {
        let errand = Errand::RootDevice { beside: beside.into() };
        let mount = "mount() { echo /dev/sda2 on / type ext4; echo proc on /proc type proc; }";
        let text = Errand::Text(format!("{mount}\n{}", errand.text()));
        printed(&text, "")
    };
    assert_eq!(told("/dev/sda2"), "/dev/sda2\n/dev/sda2\n");
    assert_eq!(told("NONE@disk99"), "/dev/sda2\n\n");
}

#[test]
fn a_file_that_was_stored_is_read_in_place_of_what_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/deep/file").display().to_string();
    printed(&Errand::Store { path: path.clone() }, "stored");
    let errand = Arc::new(Errand::Text("cat".into()));
    assert_eq!(printed(&Errand::FromFile { path, errand }, "not this"), "stored");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_quoted_word_reaches_a_program_unchanged(text in "[^\0]{0,40}") {
        let shell = Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(&text))).output();
        prop_assert_eq!(shell.unwrap().stdout, text.into_bytes());
    }
}

#[test]
fn every_errand_is_shell_whatever_its_words_are() {
    for word in ["/dev/sda3", "a b", "'; exit 7; '", "$(reboot)`reboot`", "\"", "-rf\n/"] {
        for errand in hostile(word) {
            // `sh -n` reads the text and runs nothing.
            for text in [errand.text(), errand.in_turn()] {
                let run = Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
                let said = String::from_utf8_lossy(&run.stderr);
                assert!(run.status.success(), "{errand:?}: {said}");
            }
        }
    }
}

#[test]
fn what_is_mounted_is_unmounted_from_the_inside_out() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name).display().to_string();
    fs::create_dir(root.path().join("7")).unwrap();
    fs::write(at("7/cmdline"), "/run/kadence/relay-12\0start\0").unwrap();
    fs::create_dir(root.path().join("8")).unwrap();
    fs::write(at("8/cmdline"), "sshd\0").unwrap();
    let tidy = |stuck: &str| {
        let lines = "dev / x\ndev /mnt/dest x\nproc /mnt/dest/proc x\ndev /mnt/destination x\n";
        fs::write(at("mounts"), lines).unwrap();
        let mounts = at("mounts");
        let prelude = format!(
            "sync() {{ :; }}; sleep() {{ :; }}; kill() {{ echo kill \"$@\"; }}
             umount() {{ [ \"$1\" != '{stuck}' ] || return 1; echo \"$1\"; grep -v \" $1 \" {mounts} > {mounts}.new; mv {mounts}.new {mounts}; }}\n"
        );
        let text = Errand::Tidy { directory: "/mnt/dest".into(), unmount: true }.text();
        let text = prelude + &text.replace("/proc/", &at(""));
        let run = Command::new("sh").args(["-c", &text]).output().unwrap();
        (
            run.status.success(),
            [run.stdout, run.stderr].map(|said| String::from_utf8(said).unwrap()),
        )
    };
    let (well, [said, _]) = tidy("nothing");
    assert_eq!((well, said.as_str()), (true, "kill -9 7\n/mnt/dest/proc\n/mnt/dest\n"));
    let (well, [_, why]) = tidy("/mnt/dest");
    assert!(!well && why.contains("/mnt/dest is still in use"), "{why}");
}

#[test]
fn what_changes_disks_waits_for_what_still_does() {
    let dir = tempfile::tempdir().unwrap();
    let [turn, mark] = ["turn", "mark"].map(|name| dir.path().join(name).display().to_string());
    let begin = |text: String, input: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &text]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        shell
    };
    let script = Errand::Partition(Vec::new());
    // The first is under way as long as the file is not there.
    let waits = format!("#!/bin/sh\necho begun\nuntil [ -e {mark} ]; do sleep 0.01; done\n");
    let mut first = begin(script.with_turn(&turn, 60), &waits);
    let mut said = String::new();
    BufReader::new(first.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "begun\n");
    let impatient = begin(Errand::Sync.with_turn(&turn, 0), "").wait().unwrap();
    assert_eq!(impatient.code(), Some(1));
    let second = format!("#!/bin/sh\n[ -e {mark} ] || exit 9\nexit 3\n");
    let mut second = begin(script.with_turn(&turn, 60), &second);
    fs::write(&mark, "").unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(second.wait().unwrap().code(), Some(3), "its own status");
}

#[test]
fn tidying_ends_relays_and_not_the_shell_that_does_it() {
    let mut relay = Command::new("bash")
        .args(["-c", "echo; exec -a /run/kadence/relay-00 sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(relay.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let tidy = Errand::Tidy { directory: "/nowhere".into(), unmount: true }.text();
    // Told and not done: other tests have relays of their own.
    let script = format!("kill() {{ echo \"killed $2\"; }}\necho \"own $$\"\n{tidy}");
    let name = format!("killed {}", relay.id());
    let told = loop {
        let run = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        let told = String::from_utf8(run.stdout).unwrap();
        // It has its new name a moment later.
        if told.lines().any(|line| line == name) {
            break told;
        }
    };
    relay.kill().unwrap();
    relay.wait().unwrap();
    let own = told.lines().find_map(|line| line.strip_prefix("own ")).unwrap();
    let own = format!("killed {own}");
    assert!(!told.lines().any(|line| line == own), "{told}");
}

#[test]
fn keys_are_added_to_those_that_are_there() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("mnt it's/root/.ssh");
    let keys = || fs::read_to_string(directory.join("authorized_keys")).unwrap();
    let add = |key: &str| {
        let errand = Errand::AddKeys { directory: directory.display().to_string() };
        assert_eq!(printed(&errand, key), "");
    };
    add("ssh-ed25519 A anna\n");
    assert_eq!(keys(), "ssh-ed25519 A anna\n");
    // sshd insists on both.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("authorized_keys")), 0o600);
    add("ssh-rsa B anna\n");
    assert_eq!(keys(), "ssh-ed25519 A anna\nssh-rsa B anna\n");
}

/// What a shell makes of an errand that reads `input`: whether it ended well.
fn ends_well(errand: &Errand, input: &[u8]) -> bool {
    // A file stands for a device.
    let text = errand.text().replace("[ -b ", "[ -f ");
    let mut shell = Command::new("sh");
    shell.args(["-c", &text]).stdin(Stdio::piped());
    let mut shell = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // One that ends before it has read all is none the worse for it.
    let _ = shell.stdin.take().unwrap().write_all(input);
    shell.wait().unwrap().success()
}

/// The same bytes, compressed.
fn compressed(compression: Compression, file: &Path) -> Vec<u8> {
    let packed = Command::new(compression.program()).arg("-c").arg(file).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    packed.stdout
}

/// More than a block of any of them, and hardly smaller when it is compressed.
fn content() -> Vec<u8> {
    (0..500_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

const STREAMS: [Compression; 4] =
    [Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

#[test]
fn archives_of_every_compression_are_unpacked_and_broken_ones_are_not_well() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("from/etc")).unwrap();
    fs::write(at("from/etc/file"), content()).unwrap();
    symlink("file", at("from/etc/link")).unwrap();
    let tar = Command::new("tar").args(["-cf", "../image", "etc"]).current_dir(at("from")).status();
    assert!(tar.unwrap().success());
    for compression in STREAMS {
        let archive = compressed(compression, &at("image"));
        for whole in [true, false] {
            let to = at(&format!("{}-{whole}", compression.program()));
            let (directory, options) = (to.display().to_string(), String::new());
            let errand = Errand::UnpackArchive(Unpacking { directory, compression, options });
            let input = if whole { &archive[..] } else { &archive[..archive.len() / 2] };
            assert_eq!(ends_well(&errand, input), whole, "{}", to.display());
            if whole {
                assert!(fs::read(to.join("etc/file")).unwrap() == content());
                assert_eq!(fs::read_link(to.join("etc/link")).unwrap(), Path::new("file"));
            }
        }
    }
}

#[test]
fn images_of_every_compression_are_written_and_broken_ones_are_not_well() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("image"), content()).unwrap();
    for compression in STREAMS {
        let image = compressed(compression, &at("image"));
        let device = at(&format!("{}-device", compression.program()));
        // A device is there before, with something on it.
        fs::write(&device, "what was there before").unwrap();
        let errand = Errand::WriteImage { compression, device: device.display().to_string() };
        assert!(ends_well(&errand, &image), "{}", device.display());
        assert!(fs::read(&device).unwrap() == content(), "{}", device.display());
        assert!(!ends_well(&errand, &image[..image.len() / 2]), "{}", device.display());
        assert!(!ends_well(&errand, b"not compressed at all"), "{}", device.display());
    }
}

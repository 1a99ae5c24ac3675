//! Recorded environments.

use super::site::Site;

#[test]
fn an_environment_is_recorded_deployed_and_deleted() {
    let service = Site::new().serve();
    let empty = service.run(&["env", "list"]).ended(0);
    assert_eq!(empty.out, "No environment has been found\n");
    let file = service.environment("deb ian");
    assert_eq!(service.run(&["env", "add", file]).ended(0).out, "recorded deb ian version 1\n");
    let again = service.run(&["env", "add", file]).ended(10);
    assert!(again.err.contains("has already been recorded"), "{}", again.err);
    let text = std::fs::read_to_string(service.path(file)).unwrap();
    service.write("second.yaml", &text.replace("version: 1", "version: 2"));
    service.run(&["env", "add", "second.yaml"]).ended(0);

    let all = service.run(&["env", "list", "-s", "--json"]).ended(0).json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let newest = service.run(&["env", "list"]).ended(0).out;
    assert!(newest.contains("deb ian  2") && !newest.contains("deb ian  1"), "{newest}");
    let shown = service.run(&["env", "show", "deb ian", "--env-version", "1"]).ended(0).out;
    assert!(shown.starts_with("---\n") && shown.contains("name: deb ian"), "{shown}");

    // Its image is a file of this machine, wherever the command is run.
    let deploy = ["deploy", "-e", "deb ian", "-m", "n-1", "--json"];
    let mut elsewhere = service.user(&deploy);
    elsewhere.current_dir("/");
    super::site::Ran::of(elsewhere.output().unwrap()).ended(0);
    let nodes = service.run(&["nodes", "-m", "n-1", "--json"]).ended(0).json();
    assert_eq!(nodes["n-1.site"]["environment"]["version"], 2);

    let gone = service.run(&["env", "delete", "deb ian"]).ended(0);
    assert_eq!(gone.out, "deleted deb ian version 2\n");
    service.run(&["env", "delete", "deb ian", "--env-version", "1"]).ended(0);
    service.run(&["env", "delete", "deb ian"]).ended(1);
    service.run(&["env", "show", "deb ian"]).ended(1);
}

#[test]
fn a_mistake_in_a_description_names_its_field() {
    let service = Site::new().serve();
    let file = service.environment("deb");
    let text = std::fs::read_to_string(service.path(file)).unwrap();
    service.write("wrong.yaml", &text.replace("kind: tar", "kind: rar"));
    let ran = service.run(&["env", "add", "wrong.yaml"]).ended(7);
    assert!(ran.err.contains("[field: image/kind]"), "{}", ran.err);
    service.write("list.yaml", "[1, 2]");
    let ran = service.run(&["deploy", "-a", "list.yaml", "-m", "n-1"]).ended(1);
    assert!(ran.err.contains("list.yaml is not a description"), "{}", ran.err);
}

#[test]
fn an_environment_is_changed_by_its_owner_and_moved_by_administrators() {
    let service = Site::new().serve();
    let file = service.environment("deb");
    service.run(&["env", "add", file]).ended(0);
    let shown = || service.run(&["env", "show", "deb", "--json"]).ended(0).json()[0].clone();
    let dry = ["env", "update", "deb", "--visibility", "shared", "--dry-run"];
    assert!(service.run(&dry).ended(0).out.starts_with("nothing was changed"));
    assert_eq!(shown()["visibility"], "private");
    let ran =
        service.run(&["env", "update", "deb", "--visibility", "shared", "--toggle-destructive"]);
    assert_eq!(ran.ended(0).out, "changed deb version 1\n");
    assert_eq!((&shown()["visibility"], &shown()["destructive"]), (&"shared".into(), &true.into()));
    let public = service.run(&["env", "update", "deb", "--visibility", "public"]);
    assert!(public.code != 0 && public.err.contains("Only administrators"), "{public:?}");
    let nothing = service.run(&["env", "update", "deb"]).ended(1);
    assert!(nothing.err.contains("--visibility"), "{}", nothing.err);

    // Its image is a file of this machine, and another one now.
    let checksum = ["env", "update", "deb", "--image-checksum", "--json"];
    service.write("image.tgz", "another image");
    assert_eq!(service.run(&checksum).ended(0).json()["name"], "deb");
    service.run(&checksum).ended(14);

    let (old, new) = (service.path(""), std::path::Path::new("/moved"));
    let pair = format!("{}={}/", old.display(), new.display());
    let moved = ["env", "move", &pair, "-u", "anna"];
    let refused = service.run(&moved);
    assert!(refused.code != 0 && refused.err.contains("Only administrators"), "{refused:?}");
    let root = |more: &[&str]| service.run(&[&moved[..], &["--user", "root"], more].concat());
    assert!(root(&["--dry-run"]).ended(0).out.starts_with("nothing was changed"));
    assert_eq!(root(&[]).ended(0).out, "changed deb version 1\n");
    let image = shown()["image"]["file"].as_str().unwrap().to_owned();
    assert_eq!(image, new.join("image.tgz").to_str().unwrap());
    root(&[]).ended(14);
    service.run(&["env", "move", "nonsense"]).ended(1);
}

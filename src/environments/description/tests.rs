//! What is understood, and how mistakes are told.

use super::*;
use serde_json::json;

fn debian() -> Value {
    json!({
        "name": "debian12", "os": "linux", "filesystem": "ext4", "partition_type": 131,
        "image": {"file": "server:///img.tar.zst", "kind": "tar", "compression": "zstd"},
        "postinstalls": [{"archive": "server:///p.tgz", "compression": "gzip", "script": "go /rambin"}],
        "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
    })
}

fn parse(value: &Value) -> Result<Environment, Invalid> {
    Environment::parse(value.as_object().unwrap())
}

#[test]
fn a_full_description_is_understood() {
    let environment = parse(&debian()).unwrap();
    assert_eq!(environment.version, 1);
    assert_eq!(environment.visibility, Visibility::Private);
    assert_eq!(environment.image.compression.program(), "zstd");
    assert_eq!(environment.partition_type, 0x83);
    assert_eq!(environment.postinstalls.unwrap()[0].script.as_deref(), Some("go /rambin"));
}

#[test]
fn a_minimal_dd_image_needs_neither_kernel_nor_filesystem() {
    let image = json!({"file": "a", "kind": "dd", "compression": "gzip"});
    let environment = parse(&json!({"name": "n", "os": "other", "image": image})).unwrap();
    assert_eq!((environment.postinstalls, environment.filesystem.as_str()), (None, ""));
}

#[test]
fn each_mistake_names_its_field() {
    let cases = [
        (json!({"name": null}), "The field is mandatory [field: name]"),
        (json!({"image": null}), "The field is mandatory [field: image]"),
        (json!({"name": 3}), "The field should have the type String [field: name]"),
        (
            json!({"os": "bsd"}),
            "Invalid value 'bsd', allowed values are: 'linux', 'xen' or 'other' [field: os]",
        ),
        (
            json!({"boot": {}}),
            "The field 'kernel' is mandatory for OS linux with the 'tar' image kind",
        ),
        (
            json!({"filesystem": "ext4; reboot"}),
            "'ext4; reboot' is not the name of a filesystem [field: filesystem]",
        ),
        (json!({"partition_type": 256}), "must be in the range 0..255 [field: partition_type]"),
        (
            json!({"postinstalls": [{"compression": "gzip"}]}),
            "The field is mandatory [field: postinstalls/0/archive]",
        ),
    ];
    for (change, message) in cases {
        let mut value = debian();
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(parse(&value).unwrap_err().to_string(), message);
    }
}

#[test]
fn an_image_of_several_partitions_says_where_they_go() {
    let whole = json!({
        "name": "two", "os": "linux", "filesystem": "ext4", "multipart": true, "arch": "x86_64",
        "image": {"file": "server:///two.fsa", "kind": "fsa", "compression": 3},
        "boot": {"kernel": "/vmlinuz", "block_device": "/dev/sda", "partition": 2},
        "options": {"partitions": [{"id": 0, "device": "/dev/sda2"}, {"id": 1, "device": "/dev/sda3"}]},
    });
    let environment = parse(&whole).unwrap();
    assert_eq!(environment.partitions[1], PartitionImage { id: 1, device: "/dev/sda3".into() });
    assert_eq!((environment.arch.as_deref(), environment.unused.len()), (Some("x86_64"), 0));
    let one = |id: i64, device: &str| json!({"id": id, "device": device});
    let cases = [
        (json!({"options": null}), "The field is mandatory [field: options/partitions]"),
        (json!({"boot": {"partition": 2}}), "The field is mandatory [field: boot/block_device]"),
        (
            json!({"boot": {"block_device": "/dev/sda"}}),
            "The field is mandatory [field: boot/partition]",
        ),
        (
            json!({"options": {"partitions": [one(0, "/dev/sda2"), one(0, "/dev/sda3")]}}),
            "Partition id #0 is already defined [field: options/partitions/1/id]",
        ),
        (
            json!({"options": {"partitions": [one(0, "/dev/sda2"), one(1, "/dev/sda2")]}}),
            "Partition device '/dev/sda2' is already defined [field: options/partitions/1/device]",
        ),
        (
            json!({"options": {"partitions": [{"device": "/dev/sda2"}]}}),
            "The field is mandatory [field: options/partitions/0/id]",
        ),
        (
            json!({"options": {"partitions": [one(0, "/dev/sda2; reboot")]}}),
            "'/dev/sda2; reboot' is not the name of a disk or a partition [field: options/partitions/0/device]",
        ),
    ];
    for (change, message) in cases {
        let mut value = whole.clone();
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(parse(&value).unwrap_err().to_string(), message);
    }
}

#[test]
fn unknown_fields_are_told() {
    let mut value = debian();
    value["image"]["colour"] = json!("red");
    value["odd"] = json!({"file": "x"});
    value["boot"]["kernal"] = json!("/k");
    value["postinstalls"][0]["scripts"] = json!("go");
    value["preinstall"] = json!({"archive": "server:///p", "compression": "gzip", "user": "x"});
    value["options"] =
        json!({"alias": 1, "partitions": [{"id": 0, "device": "/dev/sda2", "dev": 1}]});
    let mut unused = parse(&value).unwrap().unused;
    unused.sort();
    let all = [
        "boot/kernal",
        "image/colour",
        "odd",
        "options/alias",
        "options/partitions/0/dev",
        "postinstalls/0/scripts",
        "preinstall/user",
    ];
    assert_eq!(unused, all);
    // A rule between fields is told as it is, a field with where it comes from.
    let told = |changed: Value| parse(&changed).unwrap_err().told();
    value["filesystem"] = json!("");
    let rule = "The field 'filesystem' is mandatory for OS linux with the 'tar' image kind";
    assert_eq!(told(value.clone()), rule);
    value["filesystem"] = json!(1);
    let field =
        "Error[environment description] The field should have the type String [field: filesystem]";
    assert_eq!(told(value), field);
}

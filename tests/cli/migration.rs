//! What Kadeploy kept in a `MariaDB` database, taken over from the server and from dumps.

use super::site::{Ran, Site, kadence};
use crate::common::MariaDb;
use std::{fs, path::Path, process::Command};

/// The tables of Kadeploy 3, as its installation made them.
const TABLES: &str = "
CREATE TABLE environments (id int(10) unsigned NOT NULL auto_increment, name varchar(255) NOT NULL,
  version int(10) unsigned NOT NULL, description text NULL, author varchar(56) NULL,
  tarball varchar(512) NOT NULL, preinstall varchar(512) NULL, postinstall varchar(512) NULL,
  hypervisor varchar(255) NULL, hypervisor_params varchar(255) NULL, initrd varchar(255) NULL,
  kernel varchar(255) NULL, kernel_params varchar(255) NULL, fdisk_type varchar(2) NULL,
  filesystem varchar(9) NULL, user varchar(255) NULL default 'nobody', allowed_users varchar(512) NOT NULL,
  environment_kind varchar(10) NOT NULL, visibility varchar(8) NOT NULL, demolishing_env bool NOT NULL,
  multipart bool NOT NULL, options text NOT NULL, PRIMARY KEY (id)) ENGINE=MyISAM DEFAULT CHARSET=utf8;
CREATE TABLE rights (user varchar(30) NOT NULL, node varchar(256) NOT NULL, part varchar(50) NOT NULL)
  ENGINE=MyISAM DEFAULT CHARSET=utf8;
CREATE TABLE nodes (hostname varchar(256) NOT NULL, state varchar(16) NOT NULL, env_id int(10) NOT NULL,
  date int(10) unsigned NOT NULL, user varchar(16) NOT NULL) ENGINE=MyISAM DEFAULT CHARSET=utf8;
CREATE TABLE log (wid varchar(41) NOT NULL, hostname varchar(256) NOT NULL,
  step1 varchar(45), step2 varchar(45), step3 varchar(45), timeout_step1 smallint unsigned,
  timeout_step2 smallint unsigned, timeout_step3 smallint unsigned, retry_step1 tinyint unsigned,
  retry_step2 tinyint unsigned, retry_step3 tinyint unsigned, start int(10) unsigned NOT NULL,
  step1_duration int(10) unsigned, step2_duration int(10) unsigned, step3_duration int(10) unsigned,
  env varchar(64), anonymous_env varchar(6), md5 varchar(35), success varchar(6), error varchar(255),
  user varchar(16)) ENGINE=MyISAM DEFAULT CHARSET=utf8;
CREATE TABLE users (name varchar(9));
INSERT INTO users VALUES ('INSERT');
";

/// What a site has in them: three environments, one of which was cut off; rights; nodes, one of
/// which was being deployed; operations. `DIR` is a directory, `MD5` the digest of its image.
const ROWS: &str = r#"
INSERT INTO environments VALUES
 (3,'deb',1,'it''s "ours"; ü','me','server://DIR/image.tgz|tgz|MD5','','server://DIR/gone.tgz|tbz2|0cc1|x,http://web/post.tgz|tgz|"9be0b2"|traitement.ash /rambin',NULL,NULL,'/initrd.img','/vmlinuz','quiet','83','ext4','anna','','linux','private',0,0,''),
 (5,'wide',2,NULL,NULL,'/home/bob/w.ddgz|ddgz|"tag"',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'bob','','other','shared',1,0,''),
 (6,'cut',1,'','','/i|zip|x','','','','','','','','83','ext4','anna','','linux','private',0,0,'');
INSERT INTO rights VALUES ('anna','n-1.site','/dev/sda3'),('anna','n-1.site','/dev/sda3'),('bob','*','*');
INSERT INTO nodes VALUES ('n-1.site','deployed',3,1700000000,'anna'),('n-2.site','deploying',-1,1700000100,'bob'),
 ('n-3.site','deploy_failed',77,1700000200,'bob'),('n-1.site','rebooted',-1,1600000000,'bob'),('n-4.site','lost',-1,1,'x');
INSERT INTO log VALUES
 ('D-1','n-1.site','SetDeploymentEnvUntrusted','BroadcastEnvKascade','BootNewEnvKexec',300,1000,200,0,1,0,1700000000,41,70,12,'deb:1','false','','true','','anna'),
 ('D-1','n-3.site','SetDeploymentEnvUntrusted',NULL,NULL,300,NULL,NULL,2,NULL,NULL,1700000000,300,NULL,NULL,'deb:1','false','','false','not reachable,\nafter "300s"','anna'),
 ('P-2','n-2.site','PowerOn','','',60,0,0,0,0,0,1700000300,5,0,0,'','','','true','','bob');
"#;

/// A configured site, and the database of its predecessor.
fn predecessor() -> (Site, MariaDb) {
    let (site, database) = (Site::new(), MariaDb::new());
    site.write("image.tgz", "an image");
    let sum = Command::new("md5sum").arg(site.path("image.tgz")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let rows = ROWS.replace("DIR", site.path("").to_str().unwrap().trim_end_matches('/'));
    database.run(TABLES);
    database.run(&rows.replace("MD5", sum.split(' ').next().unwrap()));
    (site, database)
}

fn migrate(site: &Site, from: &str, more: &[&str]) -> Ran {
    let mut command = kadence();
    command.env("MYSQL_PWD", MariaDb::PASSWORD).args(["migrate", "--from-kadeploy", from]);
    Ran::of(command.arg("--config-dir").arg(site.path("")).args(more).output().unwrap())
}

#[track_caller]
fn counted(ran: &Ran, wanted: [[u64; 3]; 4]) {
    let report = ran.json();
    let kinds = ["environments", "rights", "nodes", "statistics"];
    let count = |kind: &str| {
        ["imported", "there", "refused"].map(|n| report["records"][kind][n].as_u64().unwrap())
    };
    assert_eq!(kinds.map(count), wanted, "{}", ran.out);
}

/// All is new but what cannot be taken.
const NEW: [[u64; 3]; 4] = [[2, 0, 1], [2, 1, 0], [3, 0, 1], [3, 0, 0]];
/// All is there.
const AGAIN: [[u64; 3]; 4] = [[0, 2, 1], [0, 3, 0], [0, 3, 1], [0, 3, 0]];

#[test]
fn a_database_is_taken_over_and_the_service_goes_on_with_it() {
    let (site, database) = predecessor();
    let before = fs::read_dir(site.path("state")).unwrap().count();
    let dry = migrate(&site, &database.url(), &["--dry-run", "--json"]).ended(2);
    counted(&dry, NEW);
    assert_eq!((dry.json()["dry_run"].as_bool(), before), (Some(true), 0));
    counted(&migrate(&site, &database.url(), &["--json", "--dry-run"]).ended(2), NEW);
    let ran = migrate(&site, &database.url(), &[]).ended(2);
    for said in [
        "environments         2      0        1",
        "refused, environments: cut version 1 of anna: no kind of images is called 'zip'",
        "refused, nodes: n-4.site: no state is called 'lost'",
        "note: node n-2.site: it was deploying when the old service was stopped",
        "note: node n-3.site: the environment on it is not recorded any more",
        "gone.tgz cannot be read here",
    ] {
        let flat =
            ran.out.split('\n').map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.into_iter().any(|line| line.contains(&said)), "{said}: {}", ran.out);
    }
    counted(&migrate(&site, &database.url(), &["--json"]).ended(2), AGAIN);
    assert!(!ran.out.contains(MariaDb::PASSWORD) && !ran.err.contains(MariaDb::PASSWORD));
    served(site);
}

/// The service shows what was taken over.
#[track_caller]
fn served(site: Site) {
    let service = site.serve();
    let shown = service.run(&["env", "show", "deb", "--json"]).ended(0).json();
    assert_eq!(shown[0]["description"], "it's \"ours\"; ü");
    assert_eq!(shown[0]["partition_type"], 131);
    assert_eq!(shown[0]["postinstalls"][1]["script"], "traitement.ash /rambin");
    let shown = service.run(&["env", "show", "wide", "-u", "bob", "--json"]).ended(0).json();
    assert_eq!(
        (&shown[0]["destructive"], &shown[0]["image"]["kind"]),
        (&true.into(), &"dd".into())
    );
    let nodes = service.run(&["nodes", "--json"]).ended(0).out;
    for said in ["\"deployed\"", "\"aborted\"", "\"deploy_failed\"", "\"deb\""] {
        assert!(nodes.contains(said), "{said}: {nodes}");
    }
    let rows = service.run(&["stats", "--json"]).ended(0).out;
    assert!(rows.contains("not reachable,\\nafter \\\"300s\\\"") && rows.contains("P-2"), "{rows}");
    // What cannot be compared is not deployed; what is the same file is.
    let ran = service.run(&["deploy", "-e", "deb", "-m", "n-1"]);
    assert!(ran.code != 0 && ran.err.contains("gone.tgz' does not match"), "{ran:?}");
    service.stop();
}

#[test]
fn a_dump_is_as_good_as_its_server() {
    let (site, database) = predecessor();
    for (way, options) in [
        &[][..],
        &["--skip-extended-insert", "--complete-insert", "--skip-comments"],
        &["--compact", "--databases"],
    ]
    .iter()
    .enumerate()
    {
        let dump = database.dump(options);
        let state = site.path(&format!("state-{way}"));
        let state = ["--json", "--state-dir", state.to_str().unwrap()];
        let ran = migrate(&site, dump.to_str().unwrap(), &state).ended(2);
        counted(&ran, NEW);
        counted(&migrate(&site, dump.to_str().unwrap(), &state).ended(2), AGAIN);
        // Another way to the same records.
        counted(&migrate(&site, &database.url(), &state).ended(2), AGAIN);
    }
    let dump = site.path("dump.sql");
    fs::copy(database.dump(&[]), &dump).unwrap();
    drop(database);
    assert!(Command::new("gzip").arg(&dump).status().unwrap().success());
    let dump = format!("{}.gz", dump.display());
    counted(&migrate(&site, &dump, &["--json"]).ended(2), NEW);
    served(site);
}

#[test]
fn what_changed_since_is_taken_and_what_differs_is_asked_for() {
    let (site, database) = predecessor();
    migrate(&site, &database.url(), &[]).ended(2);
    database.run("UPDATE nodes SET state='rebooted', date=1800000000 WHERE hostname='n-3.site'; UPDATE environments SET kernel_params='single' WHERE id=3; DELETE FROM environments WHERE id=6; DELETE FROM nodes WHERE hostname='n-4.site'");
    let ran = migrate(&site, &database.url(), &["--json"]).ended(2);
    counted(&ran, [[0, 1, 1], [0, 3, 0], [1, 2, 0], [0, 3, 0]]);
    assert!(ran.out.contains("--overwrite replaces it"), "{}", ran.out);
    let ran = migrate(&site, &database.url(), &["--json", "--overwrite"]).ended(0);
    counted(&ran, [[1, 1, 0], [0, 3, 0], [0, 3, 0], [0, 3, 0]]);
    let service = site.serve();
    let shown = service.run(&["env", "show", "deb"]).ended(0).out;
    assert!(shown.contains("single"), "{shown}");
    // A service that runs keeps its state for itself.
    let ran = migrate(&service, &database.url(), &[]).ended(1);
    assert!(
        ran.err.contains("is in use by process") && ran.err.contains("systemctl stop"),
        "{}",
        ran.err
    );
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let (site, database) = predecessor();
    let refused = |from: &str, more: &[&str], said: &str| {
        let ran = migrate(&site, from, more).ended(1);
        assert!(
            ran.err.contains(said) && !ran.err.contains(MariaDb::PASSWORD),
            "{said}: {}",
            ran.err
        );
        assert!(!ran.err.contains("wr0ng"), "{}", ran.err);
    };
    let dump = database.dump(&[]);
    let text = fs::read_to_string(&dump).unwrap();
    let with = |name: &str, text: &str| {
        site.write(name, text);
        site.path(name).to_str().unwrap().to_owned()
    };
    refused(&with("cut", &text[..text.len() / 2]), &[], "it was cut off");
    refused(&with("other", "CREATE TABLE x (a int);\n"), &[], "no table 'environments'");
    let odd = text.replace("`tarball`", "`image`");
    refused(&with("odd", &odd), &[], "has no column 'tarball'");
    refused(
        &with("broken", &text.replace("VALUES", "VALUES (")),
        &[],
        "statement that ends in line",
    );
    refused("/nonexistent.sql", &[], "No such file");
    refused("mysql://127.0.0.1:1/deploy3", &[], "refused");
    let url = database.url();
    refused(&url.replace("deploy@", "deploy:wr0ng@"), &[], "Access denied");
    refused(&url.replace("/deploy3", ""), &[], "it names no database");
    refused(&url.replace("deploy3", "mysql"), &[], "denied");
    database.run("DROP TABLE log");
    refused(&url, &[], "no table 'log'");
    assert!(store_is_empty(&site));
    // The configuration knows the database as well; options of a file win over it.
    let conf = fs::read_to_string(site.path("server.conf")).unwrap();
    site.write("server.conf", &format!("{conf}database: {{kind: mysql, host: 127.0.0.1, name: deploy3, login: deploy, passwd: 'wr0ng'}}\n"));
    let mut command = kadence();
    command.args(["migrate", "--from-kadeploy", "--config-dir"]).arg(site.path(""));
    let ran = Ran::of(command.output().unwrap()).ended(1);
    assert!(ran.err.contains("'deploy3' of deploy at 127.0.0.1:3306"), "{}", ran.err);
}

fn store_is_empty(site: &Site) -> bool {
    let state: &Path = &site.path("state");
    let ran = Ran::of(
        kadence().args(["store", "check", "--json", "--state-dir"]).arg(state).output().unwrap(),
    );
    let records = ran.json()["records"].clone();
    ["environments", "rights", "nodes", "statistics"]
        .iter()
        .all(|kind| records[kind].as_u64().unwrap_or(0) == 0)
}

#[test]
fn the_password_may_be_in_a_file_or_in_the_address() {
    let (site, database) = predecessor();
    site.write("my.cnf", &format!("[client]\npassword = '{}'\n", MariaDb::PASSWORD));
    let bare = |from: &str, more: &[&str]| {
        let mut command = kadence();
        command.args(["migrate", "--json", "--dry-run", "--from-kadeploy", from]).args(more);
        Ran::of(command.arg("--config-dir").arg(site.path("")).output().unwrap())
    };
    let option = format!("--defaults-file={}", site.path("my.cnf").display());
    counted(&bare(&database.url(), &[&option]).ended(2), NEW);
    let url = database.url().replace("deploy@", "deploy:s3cret%2F%40%3F@");
    let ran = bare(&url, &[]).ended(2);
    counted(&ran, NEW);
    assert!(!ran.out.contains("s3cret"), "{}", ran.out);
    let ran = bare(&database.url(), &[]).ended(1);
    assert!(ran.err.contains("Access denied"), "{}", ran.err);
}

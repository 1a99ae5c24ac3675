//! One run, from the image to the proof.

use super::{
    super::{Accel, Guest, LabError, Place, Plan, Reporter, probe_accel, up, write_config},
    DemoArgs,
    image::Image,
    line,
    programs::{kill_in, operate, serve},
    proof::{Expected, Proof, prove},
    report::Report,
    usage::guest_cpu,
};
use futures_util::{StreamExt, stream};
use std::{ffi::OsString, path::Path, time::Instant};

/// Nodes that are asked at once: each costs an `ssh` process.
const PROOFS_AT_ONCE: usize = 16;
/// Does everything but taking down; what becomes known goes to `report` at once.
pub(super) async fn run(
    place: &Place,
    args: &DemoArgs,
    report: &mut Report,
    say: Reporter<'_>,
) -> Result<(), LabError> {
    let start = Instant::now();
    let image = Image::find(args.image).await?;
    stage(report, "image", start, say, &format!("image {}, sha256 {}", image.name, image.sha256));
    report.image = Some(image.clone());

    let start = Instant::now();
    let wishes = args.shape.wishes(args.nodes);
    let plan = Plan::new(place.name(), &wishes, probe_accel(say).await?)?;
    report.nodes = plan.guests.iter().map(Guest::fqdn).collect();
    up(place, &plan, say).await?;
    report.accelerated = plan.accel == Accel::Kvm;
    let how = if report.accelerated { "on hardware virtualisation" } else { "emulated" };
    let count = plan.guests.len();
    stage(
        report,
        "lab",
        start,
        say,
        &format!("lab {}: {count} nodes, {how}, powered off", place.name()),
    );

    let start = Instant::now();
    let config = place.at("config");
    write_config(place, &plan, &config).await?;
    let service = serve(place, &config).await?;
    stage(report, "service", start, say, "the service runs and answers");

    let token = uuid::Uuid::new_v4().to_string();
    let start = Instant::now();
    let killed = async {
        match &args.kill_service_in {
            Some(step) => kill_in(place, &config, service, step).await,
            None => Ok(()),
        }
    };
    let installed = install(place, &plan, args, &image, &token, report);
    tokio::try_join!(installed, killed)?;
    stage(report, "deploy", start, say, "the nodes are through");

    let start = Instant::now();
    say("asking each node what it runs");
    let expected = Expected { token: &token, sample: &image.sample };
    ask_all(place, &plan, &expected, report, say).await;
    report.guest_cpu = guest_cpu(place).await;
    let (proved, all) = (report.ok.len(), plan.guests.len());
    stage(report, "proof", start, say, &format!("{proved} of {all} nodes proved"));
    Ok(())
}

/// A stage has ended.
fn stage(report: &mut Report, name: &'static str, start: Instant, say: Reporter<'_>, text: &str) {
    report.stages.insert(name, start.elapsed().as_secs_f64());
    say(&line(start, text));
}

/// Installs the image, on all nodes but those that are to stay in the deployment system.
async fn install(
    place: &Place,
    plan: &Plan,
    args: &DemoArgs,
    image: &Image,
    token: &str,
    report: &mut Report,
) -> Result<(), LabError> {
    let (left, nodes): (Vec<&Guest>, Vec<&Guest>) =
        plan.guests.iter().partition(|guest| args.leave_in_deployment.contains(guest.number));
    let names = |guests: &[&Guest]| guests.iter().map(|guest| guest.fqdn()).collect::<Vec<_>>();
    if !left.is_empty() {
        let words = ["reboot", "-r", "deploy_env"].map(OsString::from);
        let outcome = operate(place, &words, &names(&left)).await?;
        report.ko.extend(outcome.ko);
    }
    if nodes.is_empty() {
        return Ok(());
    }
    let description = image.describe(&place.at("config/demo"), token).await?;
    let key = place.user_key().with_extension("pub");
    let outcome = operate(place, &deploy(&description, &key), &names(&nodes)).await?;
    report.wid = Some(outcome.wid);
    report.seconds = outcome.seconds;
    report.ko.extend(outcome.ko);
    Ok(())
}

/// The words of `kadence deploy`.
fn deploy(description: &Path, key: &Path) -> Vec<OsString> {
    let key = format!("server://{}", key.display());
    vec!["deploy".into(), "-a".into(), description.into(), "-k".into(), key.into()]
}

/// Proves every node that has not failed yet.
async fn ask_all(
    place: &Place,
    plan: &Plan,
    expected: &Expected<'_>,
    report: &mut Report,
    say: Reporter<'_>,
) {
    let nodes: Vec<&Guest> =
        plan.guests.iter().filter(|guest| !report.ko.contains_key(&guest.fqdn())).collect();
    let answers: Vec<(String, Result<Proof, LabError>)> = stream::iter(nodes)
        .map(|guest| async move {
            let proof = prove(place, guest, expected).await;
            if let Ok(proof) = &proof {
                say(&format!("{} {}", guest.fqdn(), proof.text()));
            }
            (guest.fqdn(), proof)
        })
        .buffered(PROOFS_AT_ONCE)
        .collect()
        .await;
    for (node, proof) in answers {
        match proof {
            Err(error) => {
                report.ko.insert(node, format!("it does not tell what it runs: {error}"));
            }
            Ok(proof) => {
                if proof.missing.is_empty() {
                    report.ok.push(node.clone());
                } else {
                    report.ko.insert(node.clone(), proof.missing.join("; "));
                }
                report.proof.insert(node, proof);
            }
        }
    }
}

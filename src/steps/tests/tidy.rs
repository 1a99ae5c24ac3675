//! What is ended on a node on which a deployment failed.

use super::*;
use crate::{
    environments::{Archive, Compression},
    platform::PowerAction,
    steps::tidy,
};
use tokio::time::sleep;

impl Bed {
    async fn done(&self, name: &str, micro: Micro) {
        let ended = self.step(micro, &Context::detached(name)).await;
        assert!(ended.ko.is_empty(), "{ended:?}");
    }

    async fn tidied(&self) -> Vec<String> {
        tidy(&self.run, NodeId(0)).await.unwrap();
        self.world.mounted("node-1.sim")
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_at_work_after_another_boot_is_left_alone() {
    let bed = Bed::deployed(1).await;
    for micro in [Micro::CreatePartitionTable, Micro::FormatDeployPart, Micro::MountDeployPart] {
        bed.done(micro.name(), micro).await;
    }
    assert!(!bed.world.mounted("node-1.sim").is_empty());
    assert_eq!(bed.tidied().await, Vec::<String>::new());
    // Somebody else boots it into the deployment system, and works there.
    let (node, power) = (&bed.run.nodes[0], &bed.run.ports.power);
    power.act(node, PowerAction::Reboot, Level::Hard, Duration::MAX).await.unwrap();
    sleep(Duration::from_secs(600)).await;
    bed.done("again", Micro::MountDeployPart).await;
    let mounted = bed.world.mounted("node-1.sim");
    assert!(!mounted.is_empty());
    assert_eq!(bed.tidied().await, mounted);
}

#[tokio::test(start_paused = true)]
async fn where_a_script_mounts_the_filesystems_an_image_that_is_sent_again_mounts_none() {
    for prepared in [false, true] {
        let mut bed = Bed::deployed(1).await;
        if prepared {
            let target = Arc::get_mut(&mut bed.run).unwrap().target.as_mut().unwrap();
            target.environment.preinstall = Some(Archive {
                file: "/pre.tgz".into(),
                compression: Compression::Gzip,
                sha256: None,
                script: Some("prepare".into()),
            });
        }
        let send = Micro::SendEnvironment(crate::steps::By::Relay);
        for micro in [Micro::CreatePartitionTable, Micro::FormatDeployPart, Micro::MountDeployPart]
        {
            bed.done(micro.name(), micro).await;
        }
        let mounted = bed.world.mounted("node-1.sim");
        // It has it mounted, and that stays, or is made anew.
        bed.step(send.clone(), &Context::detached_recovery("send")).await;
        assert_eq!(bed.world.mounted("node-1.sim"), mounted);
        bed.tidied().await;
        bed.step(send, &Context::detached_recovery("send")).await;
        assert_eq!(bed.world.mounted("node-1.sim").is_empty(), prepared);
    }
}

//! Operations whose users lose their rights.

use super::{
    Operations,
    rights::{self, Rights},
};
use crate::{store::RightRecord, types::Problem};
use std::collections::BTreeSet;

impl Operations {
    /// Who may deploy where.
    pub fn rights(&self) -> &Rights {
        self.0.rights()
    }

    /// Ends the operations of `user` on nodes on which nothing is left to him but `left`.
    pub fn withdraw(&self, user: &str, left: &[RightRecord]) {
        if self.0.rights().is_dummy() {
            return;
        }
        let lost = |name: &String| !rights::allows(left, &[name], "");
        for operation in self.running() {
            if operation.user == user && operation.nodes.iter().any(lost) {
                let wid = &operation.wid;
                tracing::info!(wid, user, "ended: its user has lost his rights on its nodes");
                operation.say(0, "The rights on these nodes were taken away");
                operation.cancel.cancel();
                for control in operation.controls() {
                    control.kill("the rights on it were taken away".to_owned());
                }
            }
        }
    }

    /// Ends what goes on after a restart though the rights for it were taken away before.
    ///
    /// # Errors
    /// 20: the rights cannot be read.
    pub async fn enforce(&self) -> Result<(), Problem> {
        let users: BTreeSet<String> =
            self.running().iter().map(|operation| operation.user.clone()).collect();
        for user in users {
            let left = self.0.means.store.rights(Some(&user)).await?;
            self.withdraw(&user, &left);
        }
        Ok(())
    }
}

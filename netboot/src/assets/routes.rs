//! Several sources in order.

use super::{Asset, AssetPath, Assets, Refusal};
use std::{net::IpAddr, sync::Arc};

/// Asks each source in order; the first that has the name answers.
#[derive(Clone, Default)]
pub struct Routes(Vec<Arc<dyn Assets>>);

impl Routes {
    /// Asks `sources` in this order.
    pub fn new(sources: Vec<Arc<dyn Assets>>) -> Self {
        Self(sources)
    }
}

#[async_trait::async_trait]
impl Assets for Routes {
    /// A source that fails otherwise than by [`Refusal::NotFound`] ends the search:
    /// a broken file must not be hidden by one that happens to have its name.
    async fn open(&self, path: &AssetPath, client: IpAddr) -> Result<Asset, Refusal> {
        for source in &self.0 {
            match source.open(path, client).await {
                Err(Refusal::NotFound) => {}
                answer => return answer,
            }
        }
        Err(Refusal::NotFound)
    }
}

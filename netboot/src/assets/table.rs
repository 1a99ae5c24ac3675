//! Texts that one node may read.

use super::{Asset, AssetPath, Assets, Refusal};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

/// What a node gets for a name.
#[derive(Clone)]
pub enum Content {
    /// This text.
    Text(Bytes),
    /// What the function makes at each request; it must not block.
    Rendered(Arc<dyn Fn() -> String + Send + Sync>),
}

impl fmt::Debug for Content {
    /// Profiles can be long, and hold what a user put in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Rendered(_) => f.write_str("Rendered"),
        }
    }
}

impl<T: Into<String>> From<T> for Content {
    fn from(text: T) -> Self {
        Self::Text(Bytes::from(text.into()))
    }
}

/// Profiles kept in memory, each answered only to the address of its node.
#[derive(Debug, Default)]
pub struct ProfileTable(RwLock<HashMap<IpAddr, HashMap<AssetPath, Content>>>);

impl ProfileTable {
    /// The node at `address` gets `profile` for `name` from now on.
    pub fn set(&self, address: IpAddr, name: AssetPath, profile: impl Into<Content>) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.entry(address.to_canonical()).or_default().insert(name, profile.into());
    }

    /// The node at `address` has nothing in this table from now on.
    pub fn clear(&self, address: IpAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&address.to_canonical());
    }

    /// What the node at `address` gets for `name`.
    pub fn get(&self, address: IpAddr, name: &AssetPath) -> Option<Bytes> {
        let profile = {
            let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
            table.get(&address.to_canonical())?.get(name)?.clone()
        };
        Some(match profile {
            Content::Text(text) => text,
            Content::Rendered(render) => Bytes::from(render()),
        })
    }
}

#[async_trait::async_trait]
impl Assets for ProfileTable {
    async fn open(&self, path: &AssetPath, client: IpAddr) -> Result<Asset, Refusal> {
        self.get(client, path).map(Asset::Bytes).ok_or(Refusal::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, Routes};

    #[tokio::test]
    async fn each_node_gets_its_own_and_nobody_elses() {
        let [one, two] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let name: AssetPath = "boot.ipxe".parse().unwrap();
        let table = ProfileTable::default();
        table.set(one, name.clone(), "one");
        let rendered = Content::Rendered(Arc::new(move || format!("for {two}")));
        table.set(two, name.clone(), rendered);
        assert_eq!(table.get(one, &name).unwrap(), "one");
        assert_eq!(table.get(two, &name).unwrap(), "for 10.0.0.2");
        table.clear(one);
        assert!(matches!(table.open(&name, one).await, Err(Refusal::NotFound)));
        assert!(table.open(&name, two).await.is_ok());
    }

    #[tokio::test]
    async fn the_first_route_that_has_the_name_answers() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("boot.ipxe"), "for all").unwrap();
        let node = IpAddr::from([10, 0, 0, 1]);
        let name: AssetPath = "boot.ipxe".parse().unwrap();
        let table = Arc::new(ProfileTable::default());
        table.set(node, name.clone(), "mine");
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        let routes = Routes::new(vec![Arc::clone(&table) as _, directory]);
        let text = async || routes.open(&name, node).await.unwrap().read_at(0, 99).await.unwrap();
        assert_eq!(text().await, "mine");
        table.clear(node);
        assert_eq!(text().await, "for all");
    }
}

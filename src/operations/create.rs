//! A request becomes an operation, or is refused with everything left as it was.

use super::{
    Inner, Site, archive,
    around::{self, Around},
    asked::{Asked, Request},
    journal::{Chapter, Pen},
    log::{Log, seconds},
    operation::{Operation, Parts},
    order::{self, Order},
    part::{self, Part},
    plans::Plans,
    record::{Footprint, Record},
    rights::Held,
    run::{self, Job},
};
use crate::{
    environments::Environment,
    files::{Grabber, What},
    nodes::{Node, Selection},
    steps::is_word,
    store::NodeState,
    types::{Code, Common, Created, EnvironmentRef, Kind, Problem, RebootKind, RebootRequest},
};
use automata::{SetId, ranges};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, PoisonError},
    time::SystemTime,
};
use tokio_util::sync::CancellationToken;

/// Checks a request and starts the operation, unless it is a dry run.
pub(super) async fn create(inner: &Arc<Inner>, asked: Asked) -> Result<Option<Created>, Problem> {
    let common = asked.request.common().clone();
    let wid = asked.request.kind().new_id();
    // Of one moment: the configuration may be loaded anew meanwhile.
    let site = inner.means.site();
    let Selection { nodes, notes } = site.inventory.select(&common.nodes)?;
    let held = inner.rights().of(&asked.user).await?;
    held.demand(&names(&nodes), "", "")?;
    let level = level(inner, &common)?;
    let installed = match &asked.request {
        Request::Deploy(request) => {
            let choice = request.environment.as_ref();
            Some(archive::environment(inner, choice, &asked.user).await?)
        }
        Request::Reboot(request) => to_boot(inner, request, &asked.user).await?,
        Request::Power(_) => None,
    };
    let around = around(inner, &site, &asked, &nodes).await?;
    let limits = &site.config.server.environments;
    let files = run::files(&asked, &wid, installed.as_ref(), limits)?;
    let grabber = Grabber {
        depot: Arc::clone(&inner.means.depot),
        wid: wid.clone(),
        user: asked.user.clone(),
        client: common.client.clone(),
    };
    look(&grabber, &files).await?;
    // Checked for all nodes first: a request that is wrong changes nothing, whoever is busy.
    let mut orders = orders(&site, &asked, &nodes, installed.as_ref(), &around)?;
    let kind = asked.request.kind();
    orders.iter().try_for_each(|order| may_write(&held, kind, order))?;
    if common.dry_run {
        return Ok(None);
    }
    let footprint = footprint(&asked.request);
    let how = (common.force, footprint.is_none());
    let (reservation, free, busy) = inner.reserve(&wid, &nodes, how);
    if free.is_empty() {
        return Err(all_busy(&busy));
    }
    if !busy.is_empty() {
        orders = self::orders(&site, &asked, &free, installed.as_ref(), &around)?;
    }
    let record = record((&asked, level), footprint, installed.as_ref(), &orders, &nodes);
    let Common { client, keep, debug, .. } = common;
    let plans = Plans { orders, files, client, keep, debug };
    let draft = Draft { inner, wid, record, stored: stored(&plans)?, notes, again: false };
    let Assembled { operation, parts, notes } = draft.assemble(plans.orders, debug, &busy)?;
    let files = run::Wanted::new(plans.files);
    let job = Job { parts, grabber, files, keep, reservation };
    start(inner, operation, job, notes).await
}

/// The environment that a reboot is into.
async fn to_boot(
    inner: &Inner,
    request: &RebootRequest,
    user: &str,
) -> Result<Option<Installed>, Problem> {
    let (RebootKind::RecordedEnv, Some(choice)) =
        (request.kind.unwrap_or_default(), &request.environment)
    else {
        return Ok(None);
    };
    let installed = archive::environment(inner, Some(choice), user).await?;
    if installed.recorded {
        return Ok(Some(installed));
    }
    let why = "You must specify a recorded environment to reboot on";
    Err(Problem::parameter(Code::MissingOption, "environment", why))
}

/// What the operation depends on besides the request.
async fn around(
    inner: &Inner,
    site: &Site,
    asked: &Asked,
    nodes: &[Arc<Node>],
) -> Result<Around, Problem> {
    if let Request::Reboot(request) = &asked.request {
        around::not_destructive(inner, nodes, request).await?;
    }
    let addresses = match asked.request.vlan() {
        Some(id) => around::addresses(&site.config, nodes, (id, &asked.user)).await?,
        None => BTreeMap::new(),
    };
    let named = asked.request.profile().into_iter().flat_map(|one| one.singularities.keys());
    let trusted = match &asked.request {
        Request::Deploy(_) => around::trusted(&*inner.means.store, &site.config, nodes).await?,
        _ => BTreeSet::new(),
    };
    let names = around::names(&site.inventory, named)?;
    if asked.request.profile().is_some() && !is_word(&asked.user) {
        let why = format!("the user {:?} cannot have boot profiles", asked.user);
        return Err(Problem::parameter(Code::InvalidOption, "pxe", why));
    }
    let (deploy_key, user) = (site.deploy_key.clone(), asked.user.clone());
    Ok(Around { deploy_key, user, addresses, trusted, names })
}

fn names(nodes: &[Arc<Node>]) -> Vec<&str> {
    nodes.iter().map(|node| node.name.as_str()).collect()
}

/// Whether the user may deploy the partitions of an order, which a right may call whatever files
/// and requests call them, or as the system does. Whatever else is done to nodes needs a
/// right on any.
pub(super) fn may_write(held: &Held, kind: Kind, order: &Order) -> Result<(), Problem> {
    let nodes = names(&order.nodes);
    let Some(target) = order.target.as_ref().filter(|_| kind == Kind::Deploy) else {
        return held.demand(&nodes, "", "");
    };
    if target.environment.multipart {
        for part in &target.environment.partitions {
            let detail = format!("deployment on partition {}", part.device);
            held.demand(&nodes, &part.device, &detail)?;
        }
    }
    let real = &target.partition;
    let detail = format!("deployment on partition {real}");
    let mut also = target.also.iter();
    if also.any(|name| held.demand(&nodes, name, "").is_ok()) {
        return Ok(());
    }
    held.demand(&nodes, real, &detail)
}

fn stored(plans: &Plans) -> Result<Value, Problem> {
    plans.stored().map_err(Problem::internal)
}

pub(super) fn all_busy(busy: &[Arc<Node>]) -> Problem {
    let text = format!(
        "All the nodes have been discarded ({} already involved in another operation)",
        folded(busy)
    );
    Problem::new(Code::NothingModified, text)
        .hint("wait for that operation, or take the nodes over with force")
}

fn record(
    (asked, level): (&Asked, u8),
    footprint: Option<Footprint>,
    installed: Option<&Installed>,
    orders: &[Order],
    nodes: &[Arc<Node>],
) -> Record {
    Record {
        kind: asked.request.kind(),
        user: asked.user.clone(),
        start: seconds(SystemTime::now()),
        end: None,
        level,
        environment: installed.map(|installed| installed.reference.clone()),
        clusters: orders.iter().map(|order| order.cluster.clone()).collect(),
        nodes: nodes.iter().map(|node| node.name.clone()).collect(),
        state: BTreeMap::new(),
        error: None,
        lines: Vec::new(),
        footprint,
        debug: asked.request.common().debug,
        hook: asked.request.common().hook,
        hook_due: false,
    }
}

/// What an operation is assembled from.
pub(super) struct Draft<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) wid: String,
    pub(super) record: Record,
    /// Its plans, for the store.
    pub(super) stored: Value,
    pub(super) notes: Vec<String>,
    /// It goes on: what is told at the start was told.
    pub(super) again: bool,
}

/// An operation ready to be started.
pub(super) struct Assembled {
    pub(super) operation: Arc<Operation>,
    pub(super) parts: Vec<Part>,
    pub(super) notes: Vec<String>,
}

impl Draft<'_> {
    /// The parts of an operation that carries `orders` out, without the nodes that are busy.
    pub(super) fn assemble(
        self,
        orders: Vec<Order>,
        debug: bool,
        busy: &[Arc<Node>],
    ) -> Result<Assembled, Problem> {
        let (log, debug) = (Arc::<Log>::default(), debug.then(Arc::<Log>::default));
        let (files, suspend) = (Arc::new(OnceLock::new()), CancellationToken::new());
        let alone = orders.len() == 1;
        let means = &self.inner.means;
        let ports = means.ports();
        let common = part::Common {
            wid: &self.wid,
            kind: self.record.kind,
            log: &log,
            debug: debug.as_ref(),
            files: &files,
            ports: &ports,
            windows: &means.windows,
            suspended: &suspend,
            muted: self.again,
        };
        let (mut parts, mut notes) = (Vec::new(), self.notes.clone());
        let mut without = 0;
        for order in orders {
            let prefix =
                if alone { String::new() } else { self.prefix(&order.cluster, &mut without) };
            // What is true of several clusters is told once.
            let new: Vec<_> = order.notes.iter().filter(|note| !notes.contains(note)).collect();
            notes.extend(new.into_iter().cloned());
            let feed = means.stream.of(&self.wid, self.record.kind, &self.record.user);
            let chapter = Arc::new(Chapter {
                pen: Pen::new(Arc::clone(&means.store), &self.wid),
                cluster: order.cluster.clone(),
            });
            let kept = (Arc::clone(&chapter) as _, chapter as _);
            parts.push(Part::new(&common, order, prefix, feed, kept)?);
        }
        let watches = parts.iter().map(|part| Arc::clone(&part.watch)).collect();
        let (log, plans) = (Arc::clone(&log), self.stored);
        let parts_of = Parts { log: Arc::clone(&log), debug, watches, plans, suspend };
        let operation = Operation::new(self.record, self.wid, parts_of);
        if !busy.is_empty() {
            let text = format!(
                "The nodes {} are already involved in {}, let's discard them",
                folded(busy),
                operation.kind
            );
            log.add(0, None, SetId(-1), &text);
            notes.push(text);
            for node in busy {
                operation.discard(&node.name);
            }
        }
        Ok(Assembled { operation: Arc::new(operation), parts, notes })
    }

    /// What the messages of one of several clusters begin with.
    /// `without` counts the clusters that have none of their own: `c1`, `c2` and so on.
    fn prefix(&self, cluster: &str, without: &mut usize) -> String {
        let site = self.inner.means.site();
        let configured = site.config.cluster(cluster);
        let prefix = configured.and_then(|cluster| cluster.prefix.clone());
        prefix.filter(|prefix| !prefix.is_empty()).unwrap_or_else(|| {
            *without += 1;
            format!("c{without}")
        })
    }
}

/// Writes the operation down, then begins it.
pub(super) async fn start(
    inner: &Arc<Inner>,
    operation: Arc<Operation>,
    job: Job,
    notes: Vec<String>,
) -> Result<Option<Created>, Problem> {
    archive::begin(&*inner.means.store, &operation).await?;
    let created = Created { wid: operation.wid.clone(), resources: operation.resources(), notes };
    let mut table = inner.table.write().unwrap_or_else(PoisonError::into_inner);
    table.insert(operation.wid.clone(), Arc::clone(&operation));
    drop(table);
    // From here on a stop sees it; one that came in before is told here.
    if inner.abort.is_cancelled() {
        operation.cancel.cancel();
    } else if inner.stop.is_cancelled() {
        operation.suspend.cancel();
    }
    let inner = Arc::clone(inner);
    let tasks = inner.tasks.clone();
    tasks.spawn(async move { run::run(&inner, &operation, job).await });
    Ok(Some(created))
}

fn orders(
    site: &Site,
    asked: &Asked,
    nodes: &[Arc<Node>],
    installed: Option<&Installed>,
    around: &Around,
) -> Result<Vec<Order>, Problem> {
    let config = &site.config;
    let one = |(cluster, nodes): (&config::Cluster, Vec<Arc<Node>>)| match &asked.request {
        Request::Deploy(request) => {
            let environment = installed.map(|installed| &installed.environment);
            let environment = environment.ok_or_else(|| Problem::internal("no environment"))?;
            order::deploy(config, cluster, nodes, request, environment, around)
        }
        Request::Reboot(request) => {
            let environment = installed.map(|installed| &installed.environment);
            order::reboot(config, cluster, nodes, request, environment, around)
        }
        Request::Power(request) => order::power(config, cluster, nodes, request),
    };
    order::by_cluster(config, nodes).into_iter().map(one).collect()
}

/// An environment to be installed, and what users know it by.
pub(super) struct Installed {
    pub(super) environment: Environment,
    pub(super) reference: EnvironmentRef,
    pub(super) recorded: bool,
}

/// Whether the files can be had: better told now than after the nodes were rebooted.
async fn look(grabber: &Grabber, files: &[What]) -> Result<(), Problem> {
    for file in files {
        grabber.look(file).await?;
    }
    Ok(())
}

fn footprint(request: &Request) -> Option<Footprint> {
    let states = |during, ok, ko| Some(Footprint { during, ok, ko });
    match request {
        Request::Deploy(_) => {
            states(NodeState::Deploying, NodeState::Deployed, NodeState::DeployFailed)
        }
        Request::Reboot(request) => {
            let ok = match request.kind {
                Some(RebootKind::DeployEnv) => NodeState::DeployEnv,
                // On the production partition of a node's cluster it is that: the end knows.
                Some(RebootKind::RecordedEnv) => NodeState::RecordedEnv,
                _ => NodeState::Rebooted,
            };
            states(NodeState::Rebooting, ok, NodeState::RebootFailed)
        }
        Request::Power(request) if request.status.as_deref() == Some("status") => None,
        Request::Power(_) => {
            states(NodeState::Powering, NodeState::Powered, NodeState::PowerFailed)
        }
    }
}

fn level(inner: &Inner, common: &Common) -> Result<u8, Problem> {
    match common.verbose_level {
        None => Ok(inner.means.site().config.server.verbosity.clients),
        Some(level @ 1..=5) => Ok(level),
        Some(_) => Err(Problem::parameter(
            Code::InvalidOption,
            "verbose_level",
            "must be in the range 1..5",
        )),
    }
}

fn folded(nodes: &[Arc<Node>]) -> String {
    ranges::fold(nodes.iter().map(|node| node.name.as_str()))
}

//! Redfish (DMTF DSP0266), as far as power goes.

use super::Order;
use crate::{
    nodes::Bmc,
    platform::{PowerError, PowerState},
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect::Policy};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// For a connection: BMCs are near, and one without power does not even refuse.
const CONNECT: Duration = Duration::from_secs(5);
/// For one answer: some BMCs need ten seconds to put a system together.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes read of an answer; systems have some kilobytes.
const ANSWER: usize = 1 << 20;
/// Most characters of a BMC's message that an error repeats.
const MESSAGE: usize = 300;
/// Where systems are listed (DSP0266, "service root").
const SYSTEMS: &str = "/redfish/v1/Systems";
/// The member of a system that lists what `Reset` takes.
const ALLOWABLE: &str = "ResetType@Redfish.AllowableValues";

/// Why Redfish is not available at all.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for Redfish cannot be made: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// A client for all BMCs.
#[derive(Debug)]
pub(super) struct Redfish {
    client: Client,
}

impl Redfish {
    pub(super) fn new() -> Result<Self, ClientError> {
        // It fails where a provider is installed already: just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            // BMCs come with self-signed certificates.
            .tls_danger_accept_invalid_certs(true)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()?;
        Ok(Self { client })
    }

    /// Reads the power state.
    pub(super) async fn status(
        &self,
        bmc: &Bmc,
        deadline: Duration,
    ) -> Result<PowerState, PowerError> {
        self.within(bmc, deadline, async |call| {
            let (_, system) = call.system().await?;
            match system["PowerState"].as_str() {
                // On its way is not there yet.
                Some("On" | "PoweringOff" | "Paused") => Ok(PowerState::On),
                Some("Off" | "PoweringOn") => Ok(PowerState::Off),
                _ => Err(call.refused(&format!("PowerState is {}", system["PowerState"]))),
            }
        })
        .await
    }

    /// Gives an order; returns when the BMC has accepted it.
    pub(super) async fn order(
        &self,
        bmc: &Bmc,
        order: Order,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        self.within(bmc, deadline, async |call| {
            let (url, system) = call.system().await?;
            let reset = &system["Actions"]["#ComputerSystem.Reset"];
            let kind = call.reset_type(order, reset).await?;
            let target = match reset["target"].as_str() {
                Some(target) => call.join(target)?,
                None => call.join(&format!(
                    "{}/Actions/ComputerSystem.Reset",
                    url.path().trim_end_matches('/')
                ))?,
            };
            let request = call.request(Method::POST, target).json(&json!({ "ResetType": kind }));
            call.send(request).await.map(drop)
        })
        .await
    }

    async fn within<T>(
        &self,
        bmc: &Bmc,
        deadline: Duration,
        work: impl AsyncFnOnce(&Call<'_>) -> Result<T, PowerError>,
    ) -> Result<T, PowerError> {
        let start = Instant::now();
        let password = tokio::fs::read_to_string(&bmc.password_file).await.map_err(|error| {
            let path = bmc.password_file.display();
            PowerError::Refused(format!("cannot read {path} (bmc.password_file): {error}"))
        })?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        let base = base(bmc).ok_or_else(|| {
            PowerError::Refused(format!(
                "bmc.address `{}` is neither a host name nor an http(s) address without a user",
                bmc.place()
            ))
        })?;
        let call = Call { client: &self.client, bmc, base, password, start };
        timeout(deadline, work(&call)).await.unwrap_or_else(|_| Err(call.silent()))
    }
}

/// `http://` and `https://` addresses as they are, any other by https; the port of
/// the configuration wins.
fn base(bmc: &Bmc) -> Option<Url> {
    let address = &bmc.address;
    let text = if address.contains("://") { address.clone() } else { format!("https://{address}") };
    let mut url = Url::parse(&text).ok()?;
    let known = matches!(url.scheme(), "http" | "https") && url.has_host();
    let bare = url.username().is_empty() && url.password().is_none();
    if let Some(port) = bmc.port {
        url.set_port(Some(port)).ok()?;
    }
    (known && bare).then_some(url)
}

/// One action on one BMC. No `Debug`: it holds the password.
struct Call<'a> {
    client: &'a Client,
    bmc: &'a Bmc,
    base: Url,
    password: String,
    start: Instant,
}

impl Call<'_> {
    /// The system: the one that the address names, else the only one there is.
    async fn system(&self) -> Result<(Url, Value), PowerError> {
        let url = match self.base.path() {
            "" | "/" | "/redfish/v1" | "/redfish/v1/" => {
                let list = self.get(self.join(SYSTEMS)?).await?;
                self.join(self.only_member(&list)?)?
            }
            _ => self.base.clone(),
        };
        Ok((url.clone(), self.get(url).await?))
    }

    fn only_member<'v>(&self, list: &'v Value) -> Result<&'v str, PowerError> {
        let members = list["Members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut ids = members.iter().filter_map(|member| member["@odata.id"].as_str());
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id),
            (first, _) => Err(self.refused(&format!(
                "it has {} systems, not one: name one in bmc.address, as in `{}`",
                members.len(),
                first.unwrap_or("/redfish/v1/Systems/1")
            ))),
        }
    }

    /// The best reset type that the system takes.
    async fn reset_type(&self, order: Order, reset: &Value) -> Result<&'static str, PowerError> {
        let wanted: &[&str] = match order {
            Order::On => &["On", "ForceOn"],
            Order::Off => &["ForceOff"],
            Order::SoftOff => &["GracefulShutdown", "PushPowerButton"],
            Order::Reset => &["ForceRestart", "PowerCycle"],
        };
        let mut offered = strings(&reset[ALLOWABLE]);
        if let (true, Some(info)) = (offered.is_empty(), reset["@Redfish.ActionInfo"].as_str()) {
            let info = self.get(self.join(info)?).await?;
            let parameters = info["Parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let found = parameters.iter().find(|parameter| parameter["Name"] == "ResetType");
            offered = found.map(|found| strings(&found["AllowableValues"])).unwrap_or_default();
        }
        // A system that does not tell is tried.
        let good = |kind: &&&str| offered.is_empty() || offered.iter().any(|o| o == **kind);
        wanted.iter().find(good).copied().ok_or_else(|| {
            self.refused(&format!("reset types are {offered:?}, none of {wanted:?}"))
        })
    }

    /// A link of an answer, which must stay on this BMC: the password goes along.
    fn join(&self, path: &str) -> Result<Url, PowerError> {
        let url = self.base.join(path).ok();
        url.filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| self.refused(&format!("a link leads elsewhere: {path:.80}")))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url).basic_auth(&self.bmc.user, Some(&self.password))
    }

    async fn get(&self, url: Url) -> Result<Value, PowerError> {
        let body = self.send(self.request(Method::GET, url)).await?;
        serde_json::from_slice(&body).map_err(|error| self.refused(&format!("no JSON: {error}")))
    }

    /// The body of a good answer.
    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, PowerError> {
        let mut answer = request.send().await.map_err(|error| self.lost(&error))?;
        let status = answer.status();
        let body = self.body(&mut answer).await?;
        if status == StatusCode::UNAUTHORIZED {
            let user = self.bmc.user.clone();
            return Err(PowerError::Credentials { address: self.bmc.place(), user });
        }
        if status.is_success() {
            return Ok(body);
        }
        let message = serde_json::from_slice(&body).ok().and_then(|body| message(&body));
        Err(self.refused(&format!("{status} {}", message.unwrap_or_default())))
    }

    async fn body(&self, answer: &mut Response) -> Result<Vec<u8>, PowerError> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.lost(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER {
                return Err(self.refused(&format!("an answer of more than {ANSWER} bytes")));
            }
        }
        Ok(body)
    }

    /// No answer. Its text is not shown: it may hold the address with a user.
    fn lost(&self, error: &reqwest::Error) -> PowerError {
        tracing::debug!(bmc = self.bmc.place(), connect = error.is_connect(), "no Redfish answer");
        self.silent()
    }

    fn silent(&self) -> PowerError {
        PowerError::Silent { address: self.bmc.place(), after: self.start.elapsed() }
    }

    fn refused(&self, said: &str) -> PowerError {
        let said: String = said.trim().chars().take(MESSAGE).collect();
        PowerError::Refused(format!("the BMC at {} said: {said}", self.bmc.place()))
    }
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The message of an error (DSP0266, "error responses").
fn message(body: &Value) -> Option<String> {
    let error = &body["error"];
    let detail = error["@Message.ExtendedInfo"][0]["Message"].as_str();
    detail.or_else(|| error["message"].as_str()).map(str::to_owned)
}

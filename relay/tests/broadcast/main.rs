//! Broadcasts between real processes over loopback.

#[cfg(test)]
mod bed;
#[cfg(test)]
mod broken;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod good;
#[cfg(test)]
mod links;
#[cfg(test)]
mod many;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod resume;

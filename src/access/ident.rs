//! The ident protocol (RFC 1413): the client's machine says whose connection it is.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// Where it answers.
pub(super) const PORT: u16 = 113;

/// Longest answer, as the protocol has it.
const LONGEST: u64 = 1000;

/// Whose connection between the two `ports` (the client's, ours) it is.
///
/// # Errors
/// The service cannot be asked, takes longer than `limit`, or does not say.
pub(super) async fn ask(
    service: SocketAddr,
    ports: (u16, u16),
    limit: Duration,
) -> Result<String, String> {
    let asked = async {
        let mut stream = TcpStream::connect(service).await?;
        stream.write_all(format!("{}, {}\r\n", ports.0, ports.1).as_bytes()).await?;
        let mut line = Vec::new();
        BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line).await?;
        Ok::<_, std::io::Error>(line)
    };
    let line = match timeout(limit, asked).await {
        Err(_) => return Err("Connection to ident service timed out".into()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err("Connection to ident service was refused".into());
        }
        Ok(Err(error)) => return Err(format!("Connection to ident service failed ({error})")),
        Ok(Ok(line)) => line,
    };
    let line = String::from_utf8_lossy(&line).into_owned();
    user(&line, ports).ok_or_else(|| {
        let shown: String = line.trim().chars().filter(|c| !c.is_control()).take(80).collect();
        format!("Connection to ident service failed (it says '{shown}')")
    })
}

/// `6193, 23 : USERID : UNIX : anna`, of our connection.
fn user(line: &str, ports: (u16, u16)) -> Option<String> {
    let mut parts = line.splitn(4, ':');
    let (theirs, ours) = parts.next()?.split_once(',')?;
    let echoed = (theirs.trim().parse().ok()?, ours.trim().parse().ok()?);
    let known = parts.next()?.trim() == "USERID" && echoed == ports;
    let (_system, user) = (parts.next()?, parts.next()?.trim());
    (known && !user.is_empty()).then(|| user.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{net::TcpListener, task::JoinSet};

    /// A service that answers each connection with `answer`; `None` = never.
    async fn service(answer: Option<&'static str>) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut asked = String::new();
            stream.read_line(&mut asked).await.unwrap();
            assert_eq!(asked, "4000, 25300\r\n");
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
        });
        (address, tasks)
    }

    async fn asked(answer: Option<&'static str>) -> Result<String, String> {
        let (address, _tasks) = service(answer).await;
        ask(address, (4000, 25300), Duration::from_millis(500)).await
    }

    #[tokio::test]
    async fn only_the_user_of_our_connection_is_believed() {
        assert_eq!(asked(Some("4000, 25300 : USERID : UNIX : anna\r\n")).await.unwrap(), "anna");
        assert_eq!(asked(Some("4000,25300:USERID:UNIX,US-ASCII:anna")).await.unwrap(), "anna");
        for answer in [
            "4000, 25300 : ERROR : NO-USER\r\n",
            "4001, 25300 : USERID : UNIX : anna\r\n",
            "4000, 25300 : USERID : UNIX : \r\n",
            "\r\n",
            "",
        ] {
            let text = asked(Some(answer)).await.unwrap_err();
            assert!(text.starts_with("Connection to ident service failed"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_silent_or_absent_is_told() {
        assert_eq!(asked(None).await.unwrap_err(), "Connection to ident service timed out");
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let text = ask(closed, (1, 2), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(text, "Connection to ident service was refused");
    }
}

//! A console's port, and one client at a time joined to the site's command in a terminal.

use super::{Console, recorder::Loan};
use pty_process::{Command, Size};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// What somebody is told who comes while another is there.
const TAKEN: &[u8] = b"[Kaconsole] console already attached\r\n";

/// What the one who is there is told when the console is closed.
const CLOSED: &[u8] = b"[Kaconsole] client killed\r\n";

/// How long a client may take to be told something at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a command may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// Serves the port of a console until it is closed, or nobody was attached for `idle`.
pub(super) async fn serve(console: Arc<Console>, listener: TcpListener, idle: Duration) {
    loop {
        let come = tokio::select! {
            come = timeout(idle, next(&console, &listener)) => come,
            () = console.end.cancelled() => return,
        };
        let Ok(stream) = come else {
            return console.fail("nobody was attached for too long".into());
        };
        console.attached.store(true, Ordering::Relaxed);
        let joined = {
            let line = join(&console, stream);
            tokio::pin!(line);
            loop {
                tokio::select! {
                    joined = &mut line => break joined,
                    other = next(&console, &listener) => refuse(other).await,
                }
            }
        };
        console.attached.store(false, Ordering::Relaxed);
        if let Err(error) = joined {
            return console.fail(format!("the console command cannot be run: {error}"));
        }
    }
}

/// The next connection of the one whose console it is. Those of others are closed at once.
async fn next(console: &Console, listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, from)) if from.ip().to_canonical() == console.from => return stream,
            Ok((_, from)) => {
                tracing::warn!(wid = console.wid, %from, "not the one who asked for it");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn refuse(mut stream: TcpStream) {
    timeout(LAST_WORDS, stream.write_all(TAKEN)).await.ok();
}

/// Joins a client to the command until one of them leaves or the console is closed. An error
/// is one of the command's start.
async fn join(console: &Console, stream: TcpStream) -> io::Result<()> {
    let loan = match &console.recorder {
        Some(recorder) => recorder.lend(&console.node).await,
        None => None,
    };
    let (terminal, end) = pty_process::open().map_err(io::Error::other)?;
    terminal.resize(Size::new(24, 80)).map_err(io::Error::other)?;
    let command = Command::new("/bin/sh").arg("-c").arg(&console.command).kill_on_drop(true);
    let mut child = command.spawn(end).map_err(io::Error::other)?;
    // It is the first of its session: all that it starts goes with it.
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (mut output, mut input) = terminal.into_split();
    let (mut from_client, mut to_client) = stream.into_split();
    let typed = async { copy(&mut from_client, &mut input, None).await };
    let shown = async { copy(&mut output, &mut to_client, loan.as_ref()).await };
    let closed = tokio::select! {
        () = typed => false,
        () = shown => false,
        () = console.end.cancelled() => true,
    };
    for signal in [Signal::HUP, Signal::KILL] {
        if let Some(group) = group {
            kill_process_group(group, signal).ok();
        }
        if timeout(GRACE, child.wait()).await.is_ok() {
            break;
        }
    }
    if let Some(group) = group {
        kill_process_group(group, Signal::KILL).ok();
    }
    if closed {
        timeout(LAST_WORDS, to_client.write_all(CLOSED)).await.ok();
    }
    timeout(LAST_WORDS, to_client.shutdown()).await.ok();
    Ok(())
}

/// Copies until one end is closed; a terminal whose command has ended is one. What is recorded
/// hears it as well.
async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    loan: Option<&Loan>,
) {
    let mut buffer = [0; 4096];
    while let Ok(many @ 1..) = from.read(&mut buffer).await {
        if let Some(loan) = loan {
            loan.heard(&buffer[..many]);
        }
        if to.write_all(&buffer[..many]).await.is_err() {
            return;
        }
    }
}

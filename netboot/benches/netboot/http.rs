//! Many downloads at once, each a thread: what they fetch is compared, byte by byte.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::tftp::Done;

/// Far beyond what any download takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fetches `name` over `downloads` connections at once, `times` on each.
pub(crate) fn run(
    downloads: u64,
    times: u64,
    name: &str,
    content: &[u8],
    server: SocketAddr,
) -> Done {
    let total = Mutex::new(Done::default());
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..downloads {
            let work = || {
                let ended = download(times, name, content, server);
                let mut total = total.lock().expect("no client panicked");
                match ended {
                    Ok(bytes) => {
                        (total.jobs, total.bytes) = (total.jobs + times, total.bytes + bytes);
                    }
                    Err(failure) => total.failures.push(failure.to_string()),
                }
            };
            thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn_scoped(scope, work)
                .expect("a thread");
        }
    });
    let mut total = total.into_inner().expect("no client panicked");
    total.wall = begun.elapsed().as_secs_f64();
    total
}

fn download(times: u64, name: &str, content: &[u8], server: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; 256 * 1024];
    for _ in 0..times {
        write!(stream, "GET /{name} HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let mut had = 0;
        let end = loop {
            had += stream.read(&mut buffer[had..])?;
            if let Some(end) = buffer[..had].windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
        };
        if !buffer.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other("the answer is not 200"));
        }
        let mut at = 0;
        let (mut from, mut to) = (end, had);
        loop {
            let part = &buffer[from..to];
            if content.get(at..at + part.len()) != Some(part) {
                return Err(io::Error::other("the content is wrong"));
            }
            at += part.len();
            if at == content.len() {
                break;
            }
            (from, to) = (0, stream.read(&mut buffer)?);
            if to == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(times * content.len() as u64)
}

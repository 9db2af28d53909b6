//! How an application answers.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// What is done to the connection, one after the other. At the end the next request is read.
#[derive(Clone, Debug, Default)]
pub struct Reply(Vec<Step>);

/// One of these.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Byte by byte, one each time.
    Trickle(Vec<u8>, Duration),
    /// Nothing for a while.
    Pause(Duration),
    Hang,
    /// Ends the connection with a reset.
    Reset,
    /// Ends it in order.
    Close,
}

impl Reply {
    /// Only this.
    pub fn steps(steps: impl Into<Vec<Step>>) -> Self {
        Self(steps.into())
    }

    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self::answer(status, &[], "")
    }

    /// A status with headers and a body.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let mut text = format!("HTTP/1.1 {status} said\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        let body = body.as_ref();
        // These have no body, whatever is said.
        if status >= 200 && status != 204 && status != 304 {
            text += &format!("content-length: {}\r\n", body.len());
        }
        Self::steps([Step::Send([text.as_bytes(), b"\r\n", body].concat())])
    }

    /// And then this.
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Returns whether the connection goes on.
    pub(super) async fn play(self, stream: &mut TcpStream) -> bool {
        for step in self.0 {
            let sent = match step {
                Step::Send(bytes) => stream.write_all(&bytes).await,
                Step::Trickle(bytes, pause) => trickle(stream, &bytes, pause).await,
                Step::Pause(pause) => {
                    sleep(pause).await;
                    Ok(())
                }
                Step::Hang => std::future::pending().await,
                Step::Reset => return false,
                Step::Close => {
                    // Dropped before the other side has closed it, the connection would be reset.
                    let closing = async {
                        stream.shutdown().await?;
                        tokio::io::copy(stream, &mut tokio::io::sink()).await
                    };
                    closing.await.ok();
                    return false;
                }
            };
            if sent.is_err() {
                return false;
            }
        }
        true
    }
}

async fn trickle(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        sleep(pause).await;
    }
    Ok(())
}

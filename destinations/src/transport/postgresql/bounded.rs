//! Connections of which only so much is read as an answer: the library reads messages of any length, and whoever answers
//! says how long one is.
//!
//! What is counted is what the library reads, which of an encrypted connection is what was in it.

use futures_util::TryFutureExt as _;
use futures_util::future::BoxFuture;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// Bytes that may come after something was written: more than any of our statements has for an answer.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Whether more came over a connection than is read. The library does not hand on why one broke.
#[derive(Clone, Default)]
pub(super) struct Flood(Arc<AtomicBool>);

impl Flood {
    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A stream that breaks when too much comes over it.
pub(super) struct Bounded<S> {
    inner: S,
    /// Bytes read since something was written.
    read: usize,
    flood: Flood,
}

impl<S> Bounded<S> {
    /// That stream; what comes of it is told to `flood`.
    pub(super) fn new(inner: S, flood: Flood) -> Self {
        Self { inner, read: 0, flood }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.read += buffer.filled().len() - before;
        if self.read > ANSWER_BYTES_MAX {
            self.flood.0.store(true, Ordering::Release);
            return Poll::Ready(Err(io::Error::other("the answer is too long")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        if written > 0 {
            self.read = 0;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Bounded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// A way to encrypt a stream that bounds what is read of it then.
pub(super) struct BoundedTls<T> {
    inner: T,
    flood: Flood,
}

impl<T> BoundedTls<T> {
    /// That way; what comes of the stream is told to `flood`.
    pub(super) fn new(inner: T, flood: Flood) -> Self {
        Self { inner, flood }
    }
}

impl<S, T> TlsConnect<S> for BoundedTls<T>
where
    S: 'static,
    T: TlsConnect<S> + 'static,
    T::Future: Send + 'static,
{
    type Stream = Bounded<T::Stream>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { inner, flood } = self;
        Box::pin(inner.connect(stream).map_ok(move |stream| Bounded::new(stream, flood)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Takes everything, and always has more to say.
    struct Talkative;

    impl AsyncRead for Talkative {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.initialize_unfilled();
            buffer.advance(buffer.remaining());
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Talkative {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn read(stream: &mut Bounded<Talkative>, bytes: usize) -> io::Result<()> {
        let mut answer = vec![0; bytes];
        let mut buffer = ReadBuf::new(&mut answer);
        poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await
    }

    #[tokio::test]
    async fn so_much_is_read_after_each_write_and_no_more() {
        let flood = Flood::default();
        let mut stream = Bounded::new(Talkative, flood.clone());
        for _ in 0..2 {
            let written = poll_fn(|context| Pin::new(&mut stream).poll_write(context, b"?")).await;
            assert_eq!(written.expect("it takes all"), 1);
            for _ in 0..2 {
                read(&mut stream, ANSWER_BYTES_MAX / 2).await.expect("it is not too long");
            }
        }
        assert!(!flood.is_there());
        let error = read(&mut stream, 1).await.expect_err("it is too long");
        assert_eq!(error.to_string(), "the answer is too long");
        assert!(flood.is_there());
    }
}

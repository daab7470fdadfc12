//! Several device requests in flight at once.
use crate::DeviceError;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

/// Polls all of `requests` until every one is done; the first error in their order is the result.
pub(crate) async fn join<F>(requests: impl Iterator<Item = F>) -> Result<(), DeviceError>
where
    F: Future<Output = Result<(), DeviceError>>,
{
    type Request<F> = (Pin<Box<F>>, Option<Result<(), DeviceError>>);
    let mut running: Vec<Request<F>> = requests.map(|request| (Box::pin(request), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (request, result) in &mut running {
            if result.is_none() {
                match request.as_mut().poll(context) {
                    Poll::Ready(done) => *result = Some(done),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}

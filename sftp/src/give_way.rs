//! Letting others run in the middle of something long. `fat` has the same few lines: neither room may
//! know the other, and a third would hold nothing else.
use core::future::poll_fn;
use core::task::Poll;

/// Is ready the second time it is polled, and has itself woken in between.
pub async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! Copying on the server: copy-data (OpenSSH's PROTOCOL section 4.10, and section 7 of
//! draft-ietf-secsh-filexfer-extensions-00).
use crate::files::{Files, OpenFlags};
use crate::request::handle;
use crate::server::Server;
use crate::status::{Status, StatusCode};
use crate::wire::Reader;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;

/// The most bytes that are held at once.
pub(crate) const PIECE: usize = 256 * 1024;

const OVERLAP: Status = Status::new(StatusCode::Failure, "a file cannot be copied onto itself");
const CLIENT_GONE: Status = Status::new(StatusCode::Failure, "the client is gone");

/// What a request asks for; handles as the client names them.
#[derive(Debug)]
pub(crate) struct CopyData {
    pub(crate) from: u64,
    pub(crate) from_offset: u64,
    /// 0 is all to the end of the file.
    pub(crate) length: u64,
    pub(crate) to: u64,
    pub(crate) to_offset: u64,
}

impl CopyData {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Status> {
        Ok(Self {
            from: handle(reader)?,
            from_offset: reader.u64()?,
            length: reader.u64()?,
            to: handle(reader)?,
            to_offset: reader.u64()?,
        })
    }
}

impl<F: Files> Server<F> {
    /// Copies in pieces, and lets other sessions run between two of them. The end of the source is
    /// where it is now: what is written meanwhile, by the copy itself too, does not move it.
    pub(crate) async fn copy(self: &Rc<Self>, asked: &CopyData) -> Result<(), Status> {
        let source = self.open_for_reading(asked.from)?;
        let target = self.open_for_writing(asked.to)?;
        let size_of = async |file| Ok(self.files.fstat(file).await?.size.unwrap_or(u64::MAX));
        let left = size_of(&source.file).await?.saturating_sub(asked.from_offset);
        let length = if asked.length == 0 { left } else { asked.length };

        let appends = target.flags.contains(OpenFlags::APPEND);
        let to_offset = if appends { size_of(&target.file).await? } else { asked.to_offset };
        let one_file = self.files.is_same_file(&source.file, &target.file);
        if one_file && asked.from_offset.abs_diff(to_offset) < length {
            return Err(OVERLAP);
        }

        let mut buffer = Vec::new();
        let capacity = usize::try_from(length.min(left)).map_or(PIECE, |length| length.min(PIECE));
        buffer.try_reserve_exact(capacity).map_err(|_| Status::OUT_OF_MEMORY)?;
        buffer.resize(capacity, 0);

        let (mut copied, end) = (0, length.min(left));
        while copied < end {
            if copied > 0 {
                give_way().await;
            }
            // A copy runs alone: besides this future, only the session itself holds the server.
            if Rc::strong_count(self) == 1 {
                return Err(CLIENT_GONE);
            }
            let most = usize::try_from(end.saturating_sub(copied)).unwrap_or(PIECE);
            let piece = buffer.get_mut(..most.min(capacity)).unwrap_or_default();
            let offset = asked.from_offset.saturating_add(copied);
            let read = self.files.read(&source.file, offset, piece).await?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
                break;
            };
            let offset = asked.to_offset.checked_add(copied);
            self.write_to(&target, offset, piece).await?;
            copied = copied.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
        // As OpenSSH: less than what was asked for is the end of the file.
        if copied < asked.length { Err(Status::EOF) } else { Ok(()) }
    }
}

/// Is ready the second time it is polled, and has itself woken in between.
async fn give_way() {
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

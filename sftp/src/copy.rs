//! Copying on the server: copy-data (OpenSSH's PROTOCOL section 4.10, and section 7 of
//! draft-ietf-secsh-filexfer-extensions-00).
use crate::files::{Files, OpenFlags};
use crate::give_way::give_way;
use crate::request::{CopyData, PIECE};
use crate::server::Server;
use crate::status::{Status, StatusCode};
use alloc::rc::Rc;
use alloc::vec::Vec;

const OVERLAP: Status = Status::new(StatusCode::Failure, "a file cannot be copied onto itself");
const CLIENT_GONE: Status = Status::new(StatusCode::Failure, "the client is gone");

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

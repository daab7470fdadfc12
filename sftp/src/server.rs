//! One SFTP session: its requests run against the file system.
use crate::files::{Files, OpenFlags};
use crate::handles::{HandleMemory, Handles, Open, OpenDir, OpenFile};
use crate::order::Order;
use crate::reply::{self, Data, Names};
use crate::request::{Operation, Request};
use crate::status::{Status, StatusCode};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use log::debug;

const NOT_FOR_READING: Status = Status::denied("the handle is not open for reading");
const NOT_FOR_WRITING: Status = Status::denied("the handle is not open for writing");
const TRUNC_TO_READ: Status = Status::denied("a file opened for reading is not truncated");
const TOO_FAR: Status = Status::new(StatusCode::Failure, "beyond the end of any file");

/// The handles and the running requests of one session. What is still open is closed when the
/// server and the last future of it are dropped.
pub struct Server<F: Files> {
    pub(crate) files: Rc<F>,
    handles: Handles<F>,
    order: Rc<Order>,
}

impl<F: Files> Server<F> {
    /// A session that may have `handles` files and directories open at once, as far as `memory` is not
    /// used up by others.
    pub fn new(files: Rc<F>, handles: usize, memory: Rc<HandleMemory>) -> Rc<Self> {
        Rc::new(Self { files, handles: Handles::new(handles, memory), order: Rc::default() })
    }

    /// Whether this request, the next in the order of arrival, may start while those run that do.
    ///
    /// READs run together, WRITEs run together, and READs of one handle run with WRITEs of another.
    /// Everything else waits for all that came before it, and all that comes after waits for it.
    pub fn may_start(&self, request: &Request) -> bool {
        self.order.may_start(request.class())
    }

    /// Runs a request to its reply: one complete packet, the length field included. It counts as
    /// running from this call on, until the future is ready or dropped.
    pub fn run(
        self: &Rc<Self>,
        request: Request,
    ) -> impl Future<Output = Vec<u8>> + 'static + use<F>
    where
        F: 'static,
    {
        let running = self.order.start(request.class());
        let server = self.clone();
        async move {
            let reply = server.answer(&request).await.unwrap_or_else(|status| {
                match &request.operation {
                    _ if status.code == StatusCode::Eof => {}
                    Operation::Refused(_) => debug!("refused: {status}"),
                    operation => debug!("{operation:?}: {status}"),
                }
                reply::status(request.id(), status)
            });
            drop(running);
            reply
        }
    }

    async fn answer(self: &Rc<Self>, request: &Request) -> Result<Vec<u8>, Status> {
        let (id, files) = (request.id(), &self.files);
        match &request.operation {
            Operation::Open { flags, .. }
                if flags.contains(OpenFlags::TRUNC) && !flags.contains(OpenFlags::WRITE) =>
            {
                return Err(TRUNC_TO_READ);
            }
            Operation::Open { .. } | Operation::Opendir(_) => self.handles.room()?,
            _ => {}
        }
        // In one place, for all that have one path: each takes thousands of instructions.
        let (place, other) = self.places(&request.operation).await?;
        match &request.operation {
            Operation::Init(allowed) => return Ok(reply::version(*allowed)),
            Operation::Limits => return Ok(reply::limits(id, self.handles.most())),
            Operation::Realpath(_) => {
                return Ok(reply::path(id, &place));
            }
            Operation::Refused(status) => return Err(*status),
            Operation::Open { flags, attributes, .. } => {
                let file = files.open(&place, *flags, attributes).await?;
                let flags = *flags;
                let open = Open::File(Rc::new(OpenFile { file, flags }));
                return Ok(reply::handle(id, self.handles.insert(open)));
            }
            Operation::Opendir(_) => {
                let dir = files.opendir(&place).await?;
                let open =
                    Open::Dir(Rc::new(OpenDir { dir, path: place, ended: Cell::new(false) }));
                return Ok(reply::handle(id, self.handles.insert(open)));
            }
            Operation::Read { handle, offset, length } => {
                return self.read(id, *handle, *offset, *length).await;
            }
            Operation::Readdir(handle) => return self.readdir(id, *handle).await,
            Operation::Stat(_) | Operation::Lstat(_) => {
                let attributes = files.stat(&place).await?;
                return Ok(reply::attributes(id, &attributes));
            }
            Operation::Readlink(_) => {
                let target = files.read_link(&place).await?;
                return Ok(reply::path(id, &target));
            }
            Operation::Fstat(handle) => {
                let attributes = match self.handles.get(*handle)? {
                    Open::File(open) => files.fstat(&open.file).await?,
                    Open::Dir(open) => files.stat(&open.path).await?,
                };
                return Ok(reply::attributes(id, &attributes));
            }
            Operation::Statvfs(_) => {
                // There is one volume, but only for what exists on it.
                files.stat(&place).await?;
                return Ok(reply::statvfs(id, &files.statvfs().await?));
            }
            Operation::Fstatvfs(handle) => {
                self.handles.get(*handle)?;
                return Ok(reply::statvfs(id, &files.statvfs().await?));
            }
            Operation::Copy(asked) => self.copy(asked).await?,
            Operation::Close(handle) => self.close(*handle).await?,
            Operation::Write { handle, offset, .. } => {
                self.write(*handle, *offset, request.data()).await?;
            }
            Operation::Setstat(_, attributes) | Operation::Lsetstat(_, attributes) => {
                files.setstat(&place, attributes).await?;
            }
            Operation::Symlink { target, .. } => files.make_link(&place, target).await?,
            Operation::Fsetstat(handle, attributes) => match self.handles.get(*handle)? {
                Open::File(open) => {
                    if attributes.size.is_some() && !open.flags.contains(OpenFlags::WRITE) {
                        return Err(NOT_FOR_WRITING);
                    }
                    files.fsetstat(&open.file, attributes).await?;
                }
                Open::Dir(open) => files.setstat(&open.path, attributes).await?,
            },
            Operation::Remove(_) => files.remove(&place).await?,
            Operation::Mkdir(_, attributes) => files.mkdir(&place, attributes).await?,
            Operation::Rmdir(_) => files.rmdir(&place).await?,
            Operation::Rename { replace, .. } => files.rename(&place, &other, *replace).await?,
            Operation::Fsync(handle) => files.fsync(&self.handles.file(*handle)?.file).await?,
        }
        Ok(reply::status(id, Status::OK))
    }

    /// Reads until there is all that was asked for or the file ends: clients take less for the end.
    async fn read(
        &self,
        id: u32,
        handle: u64,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, Status> {
        let open = self.open_for_reading(handle)?;
        let mut data = Data::new(id, length)?;
        let mut done: usize = 0;
        while done < length {
            // Beyond the last offset there is nothing.
            let Some(offset) = u64::try_from(done).ok().and_then(|done| offset.checked_add(done))
            else {
                break;
            };
            match self.files.read(&open.file, offset, data.rest(done)).await? {
                0 => break,
                read => done = done.saturating_add(read).min(length),
            }
        }
        if done == 0 {
            return Err(Status::EOF);
        }
        Ok(data.finish(done))
    }

    async fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<(), Status> {
        self.write_to(&*self.open_for_writing(handle)?, Some(offset), data).await
    }

    /// Writes at `offset`, of which nothing is beyond all numbers, or to the end of a file that was
    /// opened so.
    pub(crate) async fn write_to(
        &self,
        open: &OpenFile<F>,
        offset: Option<u64>,
        data: &[u8],
    ) -> Result<(), Status> {
        if open.flags.contains(OpenFlags::APPEND) {
            return self.files.append(&open.file, data).await;
        }
        let offset = offset.ok_or(TOO_FAR)?;
        let length = u64::try_from(data.len()).map_err(|_| TOO_FAR)?;
        offset.checked_add(length).ok_or(TOO_FAR)?;
        self.files.write(&open.file, offset, data).await
    }

    pub(crate) fn open_for_reading(&self, handle: u64) -> Result<Rc<OpenFile<F>>, Status> {
        let open = self.handles.file(handle)?;
        if open.flags.contains(OpenFlags::READ) { Ok(open) } else { Err(NOT_FOR_READING) }
    }

    pub(crate) fn open_for_writing(&self, handle: u64) -> Result<Rc<OpenFile<F>>, Status> {
        let open = self.handles.file(handle)?;
        if open.flags.contains(OpenFlags::WRITE) { Ok(open) } else { Err(NOT_FOR_WRITING) }
    }

    /// Fills one reply with names, asking for no more than what surely fits.
    async fn readdir(&self, id: u32, handle: u64) -> Result<Vec<u8>, Status> {
        let open = self.handles.dir(handle)?;
        let mut names = Names::new(id);
        while !open.ended.get() && names.room() > 0 {
            let more = self.files.readdir(&open.dir, names.room()).await?;
            open.ended.set(more.is_empty());
            for name in &more {
                names.push(name, self.files.now());
            }
        }
        Ok(names.finish())
    }

    async fn close(&self, handle: u64) -> Result<(), Status> {
        match self.handles.remove(handle)? {
            Open::File(open) => match Rc::try_unwrap(open) {
                Ok(open) => self.files.close(open.file).await,
                // An operation still works on it: the file closes when that is dropped.
                Err(_) => Ok(()),
            },
            Open::Dir(_) => Ok(()),
        }
    }
}

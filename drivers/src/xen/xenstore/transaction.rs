//! Several requests that take effect together or not at all.
use super::{StoreError, Xenstore};
use alloc::string::String;
use alloc::vec::Vec;
use xen_sys::xs_wire::kind;

impl Xenstore {
    /// Runs `body` in a transaction, again from its start whenever somebody else changed what it
    /// saw.
    pub async fn transact<T>(
        &self,
        mut body: impl AsyncFnMut(&Transaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let transaction = Transaction::start(self).await?;
            let result = body(&transaction).await;
            let ended = transaction.end(result.is_ok()).await;
            match (result, ended) {
                (Ok(_), Err(StoreError::Again)) => (),
                (Ok(value), ended) => return ended.map(|()| value),
                (Err(error), _) => return Err(error),
            }
        }
        Err(StoreError::Again)
    }
}

/// A transaction that runs; `Xenstore::transact` starts and ends it.
pub struct Transaction {
    store: Xenstore,
    id: u32,
    open: bool,
}

impl Transaction {
    async fn start(store: &Xenstore) -> Result<Self, StoreError> {
        let id = store.request(kind::TRANSACTION_START, 0, &[b"\0"]).await?;
        let id = id.strip_suffix(b"\0").unwrap_or(&id);
        let id = core::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
        Ok(Self { store: store.clone(), id: id.ok_or(StoreError::Broken)?, open: true })
    }

    async fn end(mut self, commit: bool) -> Result<(), StoreError> {
        self.open = false;
        let payload: &[u8] = if commit { b"T\0" } else { b"F\0" };
        self.store.request(kind::TRANSACTION_END, self.id, &[payload]).await.map(drop)
    }

    pub async fn read(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.store.request(kind::READ, self.id, &[path.as_bytes(), b"\0"]).await
    }

    pub async fn read_text(&self, path: &str) -> Result<String, StoreError> {
        String::from_utf8(self.read(path).await?).map_err(|_| StoreError::NotText)
    }

    pub async fn write(&self, path: &str, value: &str) -> Result<(), StoreError> {
        let payload = [path.as_bytes(), b"\0", value.as_bytes()];
        self.store.request(kind::WRITE, self.id, &payload).await.map(drop)
    }

    pub async fn rm(&self, path: &str) -> Result<(), StoreError> {
        self.store.request(kind::RM, self.id, &[path.as_bytes(), b"\0"]).await.map(drop)
    }

    /// Sets who may read and write a node: "n5" for the owner, domain 5, and nobody else by
    /// default, then "r0" for a reader, domain 0, and the like.
    pub async fn set_permissions(&self, path: &str, who: &[&str]) -> Result<(), StoreError> {
        let mut payload = Vec::from(path.as_bytes());
        payload.push(0);
        for permission in who {
            payload.extend(permission.as_bytes());
            payload.push(0);
        }
        self.store.request(kind::SET_PERMS, self.id, &[&payload]).await.map(drop)
    }
}

impl Drop for Transaction {
    /// Whoever ran it was dropped in its middle.
    fn drop(&mut self) {
        if self.open {
            self.store.forget(kind::TRANSACTION_END, self.id, b"F\0");
        }
    }
}

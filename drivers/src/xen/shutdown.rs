//! `control/shutdown` in xenstore: the toolstack asks the guest to end or to suspend (docs/misc/xenstore-paths).
use crate::task::Task;
use crate::xen::xenstore::{StoreError, Xenstore};
use alloc::format;
use alloc::rc::Rc;
use core::cell::Cell;

const REQUEST: &str = "control/shutdown";

/// What the toolstack asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    PowerOff,
    Reboot,
}

/// Listens for requests to end.
pub struct Shutdown {
    task: Task,
    asked: Rc<Asked>,
}

#[derive(Default)]
struct Asked {
    end: Cell<Option<Request>>,
    suspend: Cell<bool>,
}

impl Shutdown {
    /// Tells the toolstack that it may ask. Do this before anything that can take long: until then
    /// Qubes refuses to ask.
    pub fn start(store: &Xenstore) -> Self {
        let asked = Rc::<Asked>::default();
        let (store, heard) = (store.clone(), asked.clone());
        let mut task = Task::new(async move {
            if let Err(e) = listen(&store, &heard).await {
                log::error!("requests to shut down cannot be heard: {e}");
            }
        });
        task.poll();
        Self { task, asked }
    }

    /// Some once there was a request, and from then on.
    pub fn poll(&mut self) -> Option<Request> {
        self.task.poll();
        self.asked.end.get()
    }

    /// Whether there was a request to suspend since the last call, which was told that it will be done.
    pub fn take_suspend(&self) -> bool {
        self.asked.suspend.take()
    }
}

async fn listen(store: &Xenstore, asked: &Asked) -> Result<(), StoreError> {
    for feature in ["poweroff", "reboot", "suspend"] {
        store.write(&format!("control/feature-{feature}"), "1").await?;
    }
    let watch = store.watch(REQUEST).await?;
    loop {
        watch.changed().await;
        let request = match store.read_text(REQUEST).await {
            Ok(request) => request,
            Err(StoreError::NotFound | StoreError::NotText) => continue,
            Err(e) => return Err(e),
        };
        if request.is_empty() {
            continue;
        }
        // The answer, also to what is not done.
        store.write(REQUEST, "").await?;
        match request.as_str() {
            "poweroff" | "halt" => asked.end.set(Some(Request::PowerOff)),
            "reboot" => asked.end.set(Some(Request::Reboot)),
            "suspend" => asked.suspend.set(true),
            other => log::info!("a request to {} is ignored", other.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::fake::world::World;

    fn ask(world: &World, shutdown: &mut Shutdown, request: &str) -> Option<Request> {
        world.stored.borrow_mut().set(REQUEST, request);
        turns(world, shutdown);
        assert_eq!(world.stored.borrow().get(REQUEST).as_deref(), Some(""), "{request}");
        shutdown.poll()
    }

    fn turns(world: &World, shutdown: &mut Shutdown) {
        for _ in 0..30 {
            world.store.poll();
            shutdown.poll();
            world.stored.borrow_mut().turn();
        }
    }

    #[test]
    fn requests_are_heard_and_answered() {
        for (request, expected) in [
            ("poweroff", Request::PowerOff),
            ("halt", Request::PowerOff),
            ("reboot", Request::Reboot),
        ] {
            let world = World::new();
            let mut shutdown = Shutdown::start(&world.store);
            turns(&world, &mut shutdown);
            assert_eq!(shutdown.poll(), None);
            for feature in ["poweroff", "reboot", "suspend"] {
                let told = world.stored.borrow().get(&format!("control/feature-{feature}"));
                assert_eq!(told.as_deref(), Some("1"), "{feature}");
            }
            assert!(!shutdown.take_suspend());
            assert_eq!(ask(&world, &mut shutdown, "suspend"), None);
            assert!(shutdown.take_suspend() && !shutdown.take_suspend());
            assert_eq!(ask(&world, &mut shutdown, "nonsense"), None);
            assert_eq!(ask(&world, &mut shutdown, request), Some(expected));
            assert_eq!(ask(&world, &mut shutdown, "suspend"), Some(expected));
        }
    }

    #[test]
    fn a_request_from_before_the_start_is_heard() {
        let world = World::new();
        world.stored.borrow_mut().set(REQUEST, "poweroff");
        let mut shutdown = Shutdown::start(&world.store);
        turns(&world, &mut shutdown);
        assert_eq!(shutdown.poll(), Some(Request::PowerOff));
    }
}

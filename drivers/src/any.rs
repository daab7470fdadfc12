//! A disk and a network interface of whichever machine this is: one type of each, so that the
//! program holds the volume and the server once and not once for each kind of device.
use crate::solo5::{self, Solo5Disk, Solo5Net};
use crate::virtio::{self, Transport, VirtioDisk, VirtioNet};
use crate::xen::blkfront::Blkfront;
use crate::xen::netfront::{self, Netfront};
use alloc::boxed::Box;
use fat::{BlockDevice, DeviceError};
use smoltcp::phy::{self, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;

/// A disk. Clones share it.
#[derive(Clone)]
pub enum AnyDisk {
    Xen(Blkfront),
    Virtio(VirtioDisk<Transport>),
    Solo5(Solo5Disk),
}

impl AnyDisk {
    /// Takes answers; true when something moved.
    pub fn poll(&self) -> bool {
        match self {
            Self::Xen(disk) => disk.poll(),
            Self::Virtio(disk) => disk.poll(),
            Self::Solo5(_) => false,
        }
    }

    /// When the machine went on as another domain of Xen.
    pub fn resume(&self) {
        if let Self::Xen(disk) = self {
            disk.resume();
        }
    }

    /// Before sleep; true when there is something to do instead.
    pub fn arm(&self) -> bool {
        match self {
            // Its events are kept until they are looked at.
            Self::Xen(_) => false,
            Self::Virtio(disk) => disk.arm(),
            Self::Solo5(_) => false,
        }
    }

    /// When the loop must wake at the latest, in milliseconds of the machine's clock.
    pub fn deadline(&self) -> Option<u64> {
        match self {
            Self::Xen(disk) => disk.deadline().map(|ns| ns.div_ceil(1_000_000)),
            Self::Virtio(_) => None,
            Self::Solo5(_) => None,
        }
    }
}

impl BlockDevice for AnyDisk {
    fn sector_size(&self) -> usize {
        match self {
            Self::Xen(disk) => disk.sector_size(),
            Self::Virtio(disk) => disk.sector_size(),
            Self::Solo5(disk) => disk.sector_size(),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Xen(disk) => disk.size(),
            Self::Virtio(disk) => disk.size(),
            Self::Solo5(disk) => disk.size(),
        }
    }

    fn read_only(&self) -> bool {
        match self {
            Self::Xen(disk) => disk.read_only(),
            Self::Virtio(disk) => disk.read_only(),
            Self::Solo5(disk) => disk.read_only(),
        }
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        match self {
            Self::Xen(disk) => disk.read(offset, buf).await,
            Self::Virtio(disk) => disk.read(offset, buf).await,
            Self::Solo5(disk) => disk.read(offset, buf).await,
        }
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        match self {
            Self::Xen(disk) => disk.write(offset, data).await,
            Self::Virtio(disk) => disk.write(offset, data).await,
            Self::Solo5(disk) => disk.write(offset, data).await,
        }
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        match self {
            Self::Xen(disk) => disk.flush().await,
            Self::Virtio(disk) => disk.flush().await,
            Self::Solo5(disk) => disk.flush().await,
        }
    }
}

/// A network interface.
pub enum AnyNet {
    Xen(Netfront),
    Virtio(Box<VirtioNet<Transport>>),
    Solo5(Solo5Net),
}

impl AnyNet {
    /// The hardware address, once it is known.
    pub fn mac(&self) -> Option<[u8; 6]> {
        match self {
            Self::Xen(net) => net.mac(),
            Self::Virtio(net) => Some(net.mac()),
            Self::Solo5(net) => Some(net.mac()),
        }
    }

    /// Whether frames can be sent and received.
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Xen(net) => net.is_connected(),
            Self::Virtio(net) => net.is_connected(),
            Self::Solo5(_) => true,
        }
    }

    /// When the machine went on as another domain of Xen.
    pub fn resume(&mut self) {
        if let Self::Xen(net) = self {
            net.resume();
        }
    }

    /// Before the device is used in a turn; true when something moved.
    pub fn poll(&mut self) -> bool {
        match self {
            Self::Xen(net) => net.poll(),
            Self::Virtio(net) => net.poll(),
            Self::Solo5(_) => false,
        }
    }

    /// After the device was used in a turn.
    pub fn flush(&mut self) {
        match self {
            Self::Xen(net) => net.flush(),
            Self::Virtio(net) => net.flush(),
            Self::Solo5(_) => (),
        }
    }

    /// Before sleep; true when there is something to do instead.
    pub fn arm(&mut self) -> bool {
        match self {
            Self::Xen(net) => net.arm(),
            Self::Virtio(net) => net.arm(),
            Self::Solo5(_) => false,
        }
    }
}

impl phy::Device for AnyNet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Received<'_>, Room<'_>)> {
        match self {
            Self::Xen(net) => {
                let (frame, room) = net.receive(now)?;
                Some((Received::Xen(frame), Room::Xen(room)))
            }
            Self::Virtio(net) => {
                let (frame, room) = net.receive(now)?;
                Some((Received::Virtio(frame), Room::Virtio(room)))
            }
            Self::Solo5(net) => {
                let (frame, room) = net.receive(now)?;
                Some((Received::Solo5(frame), Room::Solo5(room)))
            }
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<Room<'_>> {
        match self {
            Self::Xen(net) => net.transmit(now).map(Room::Xen),
            Self::Virtio(net) => net.transmit(now).map(Room::Virtio),
            Self::Solo5(net) => net.transmit(now).map(Room::Solo5),
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        match self {
            Self::Xen(net) => net.capabilities(),
            Self::Virtio(net) => net.capabilities(),
            Self::Solo5(net) => net.capabilities(),
        }
    }
}

/// A frame that has come.
pub enum Received<'a> {
    Xen(netfront::Received<'a>),
    Virtio(virtio::Received<'a, Transport>),
    Solo5(solo5::Received<'a>),
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        match self {
            Self::Xen(frame) => frame.consume(f),
            Self::Virtio(frame) => frame.consume(f),
            Self::Solo5(frame) => frame.consume(f),
        }
    }
}

/// Room for one frame.
pub enum Room<'a> {
    Xen(netfront::Room<'a>),
    Virtio(virtio::Room<'a, Transport>),
    Solo5(solo5::Room<'a>),
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self {
            Self::Xen(room) => room.consume(len, f),
            Self::Virtio(room) => room.consume(len, f),
            Self::Solo5(room) => room.consume(len, f),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        match self {
            Self::Xen(room) => room.set_meta(meta),
            Self::Virtio(room) => room.set_meta(meta),
            Self::Solo5(room) => room.set_meta(meta),
        }
    }
}

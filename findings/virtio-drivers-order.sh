#!/usr/bin/env bash
# virtio-drivers 0.13.0, in two orders that monitors of virtual machines are strict about:
# * it sets ACKNOWLEDGE and DRIVER of the device's status in one write, 0 then 3. Virtio 1.2, section 3.1.1, has two
#   steps, and Firecracker takes only one new bit at a time.
# * after it has asked a 64-bit BAR for its size it puts the upper half back first, so the register holds the old upper
#   half beside the ones of the question for a moment. cloud-hypervisor, which does not look whether the function decodes
#   memory, moves the device there.
#
# One would guess that a driver which runs on QEMU runs on all of them. QEMU takes any order.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
virtio-drivers = "=0.13.0"
zerocopy = "=0.8.40"
TOML
cat >src/main.rs <<'RUST'
// What virtio-drivers writes, and in which order, to a device that notes it.
use std::cell::RefCell;
use std::rc::Rc;
use virtio_drivers::device::blk::VirtIOBlk;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr, Result};

type Said = Rc<RefCell<Vec<String>>>;

// One function with a 64-bit BAR of 16 KiB at 0x2_4000_0000.
struct Bar([u32; 2], Said);

impl ConfigurationAccess for Bar {
    fn read_word(&self, _: DeviceFunction, offset: u8) -> u32 {
        match offset {
            0x10 => self.0[0] & 0xffff_c000 | 0b100,
            0x14 => self.0[1],
            _ => 0,
        }
    }

    fn write_word(&mut self, _: DeviceFunction, offset: u8, data: u32) {
        if let 0x10 | 0x14 = offset {
            self.0[usize::from(offset - 0x10) / 4] = data;
            self.1.borrow_mut().push(format!("{offset:#x}={data:#x}"));
        }
    }

    unsafe fn unsafe_clone(&self) -> Self {
        unreachable!()
    }
}

// A block device that only notes its status register.
struct Status(DeviceStatus, Said);

impl Transport for Status {
    fn set_status(&mut self, status: DeviceStatus) {
        self.0 = status;
        self.1.borrow_mut().push(format!("{:#x}", status.bits()));
    }
    fn get_status(&self) -> DeviceStatus {
        self.0
    }
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }
    fn read_device_features(&mut self) -> u64 {
        1 << 32
    }
    fn write_driver_features(&mut self, _: u64) {}
    fn max_queue_size(&mut self, _: u16) -> u32 {
        256
    }
    fn notify(&mut self, _: u16) {}
    fn set_guest_page_size(&mut self, _: u32) {}
    fn requires_legacy_layout(&self) -> bool {
        false
    }
    fn queue_set(&mut self, _: u16, _: u32, _: PhysAddr, _: PhysAddr, _: PhysAddr) {}
    fn queue_unset(&mut self, _: u16) {}
    fn queue_used(&mut self, _: u16) -> bool {
        false
    }
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }
    fn read_config_generation(&self) -> u32 {
        0
    }
    fn read_config_space<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, _: usize) -> Result<T> {
        Ok(T::new_zeroed())
    }
    fn write_config_space<T: zerocopy::IntoBytes + zerocopy::Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        Ok(())
    }
}

// Memory of this process, never given back.
struct Memory;

unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, std::ptr::NonNull<u8>) {
        let layout = std::alloc::Layout::from_size_align(pages * 4096, 4096).unwrap();
        let start = std::ptr::NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
        (start.as_ptr() as PhysAddr, start)
    }
    unsafe fn dma_dealloc(_: PhysAddr, _: std::ptr::NonNull<u8>, _: usize) -> i32 {
        0
    }
    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> std::ptr::NonNull<u8> {
        unreachable!()
    }
    unsafe fn share(buffer: std::ptr::NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr() as *mut u8 as PhysAddr
    }
    unsafe fn unshare(_: PhysAddr, _: std::ptr::NonNull<[u8]>, _: BufferDirection) {}
}

fn main() {
    let said = Said::default();
    let function = DeviceFunction { bus: 0, device: 1, function: 0 };
    PciRoot::new(Bar([0x4000_0004, 2], said.clone())).bar_info(function, 0).unwrap();
    println!("bar {}", said.take().join(" "));
    let device = VirtIOBlk::<Memory, _>::new(Status(DeviceStatus::empty(), said.clone())).unwrap();
    println!("status {}", said.take().join(" "));
    drop(device);
}
RUST
cargo run --quiet >said
cat said
grep -q '^bar 0x10=0xffffffff 0x14=0xffffffff 0x14=0x2 0x10=0x40000004$' said || { echo "changed: the BAR"; exit 1; }
grep -q '^status 0x0 0x3 ' said || { echo "changed: the status"; exit 1; }

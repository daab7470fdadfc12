//! Replies that are ready together go out together.
use crate::rig::*;
use client::{Reply, pair};
use server::Limits;
use std::cell::Cell;
use std::rc::Rc;

/// How often the server writes to its stream, and how many bytes in all.
#[test]
fn replies_to_requests_that_came_together_go_out_together() {
    const REQUESTS: u32 = 32;
    let (writes, bytes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (ours, theirs) = pair();
    let ours = ours.telling({
        let (writes, bytes) = (writes.clone(), bytes.clone());
        move |n| {
            writes.set(writes.get() + 1);
            bytes.set(bytes.get() + n);
        }
    });
    let files = [("/mirage.pub", key_line(1, "me")), ("/a", "x".repeat(4096))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let limits = Limits { operations: 64, ..LIMITS };
    let mut rig = Rig::new(&files, vec![ours], limits, &[]);
    let mut user = rig.log_in("mirage", 1, theirs).unwrap();
    let handle = user.open(&mut rig, "/a", TO_READ).unwrap();
    for length in [16u32, 1024] {
        for _ in 0..REQUESTS {
            let rest = [0u64.to_be_bytes().as_slice(), &length.to_be_bytes()].concat();
            user.send(READ, &[&handle], &rest);
            // Each in a packet of its own, as ssh sends what its standard input brings.
            user.client.push(&mut user.end).unwrap();
        }
        writes.set(0);
        bytes.set(0);
        for _ in 0..REQUESTS {
            let reply = rig.reply(&mut user.client, &mut user.end).unwrap().expect("an answer");
            assert_eq!((reply.kind, reply.string().len()), (DATA, length as usize));
        }
        assert_eq!(Reply::take(user.client.received()), None);
        assert!(writes.get() <= 4, "{} writes for {REQUESTS} replies", writes.get());
        // A reply has 13 bytes beside its data. A packet would have at least 34 more.
        let most = (REQUESTS * (length + 13) + 300) as usize;
        assert!(bytes.get() <= most, "{} bytes for {REQUESTS} replies of {length}", bytes.get());
    }
}

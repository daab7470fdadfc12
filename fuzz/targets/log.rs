//! Messages of any text, at any time, of any source, through the log's gate: what leaves it is printable
//! and bounded.
#![no_main]
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use log::{Level, Record};
use server::logging::{Gate, Source, about, cut};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let mut gate = Gate::new();
    let mut now = Duration::ZERO;
    // When lines of each address were written.
    let mut lines: BTreeMap<u8, Vec<Duration>> = BTreeMap::new();
    while !u.is_empty() {
        now += Duration::from_millis(u.int_in_range(0..=10_000)?);
        let [kind, place, level] = u.arbitrary::<[u8; 3]>()?.map(|byte| byte % 8);
        let length = u.int_in_range(0..=400)?.min(u.len());
        let text = String::from_utf8_lossy(u.bytes(length)?);
        let text = text.repeat(1 + usize::from(place == 0) * 100);
        let source = match kind {
            0 => Source::Machine,
            1 => Source::qube(&text),
            n => Source::of_address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))),
        };
        let level = [Level::Error, Level::Warn, Level::Info, Level::Debug][usize::from(level % 4)];
        assert!(!cut(&text, 40).contains(char::is_control) && cut(&text, 40).len() < 80);
        let _about = about(source);
        let mut record = Record::builder();
        record.level(level).target("server").file_static(Some("x.rs")).line(Some(place.into()));
        gate.pass(now, &record.args(format_args!("{text}")).build(), &mut |line| {
            let shown = line.as_str();
            assert!(shown.len() <= 200 && shown.ends_with('\n'));
            let shown = shown.trim_end_matches('\n');
            assert!(!shown.chars().any(|c| c.is_control()), "{shown:?}");
            if kind > 1 && !shown.ends_with("were left out") {
                lines.entry(kind).or_default().push(now);
            }
        });
    }
    for times in lines.values() {
        // Twenty in each minute, so twice that at most in sixty seconds which begin anywhere.
        for (n, time) in times.iter().enumerate() {
            let until = *time + Duration::from_secs(60);
            assert!(times[n..].iter().take_while(|t| **t < until).count() <= 40);
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});

//! Which lines are written, and how many of one cause.
use super::line::Line;
use super::source::{Source, current};
use crate::levels::Levels;
use core::time::Duration;
use log::{Level, Record};

/// Lines that one client's doing writes in a minute, those about what was left out included.
const LINES: u16 = 20;

/// Of these, those of one place in the program, so that many of one kind do not hide another kind.
const LINES_OF_A_PLACE: u16 = 8;

const MINUTE: Duration = Duration::from_secs(60);

/// Clients, and places of the program for each, that are counted apart.
const CLIENTS: usize = 128;

/// Places of the program at which the machine itself has something to say within a minute.
const PLACES: usize = 64;

/// A place in the program: a file and a line.
type Place = (&'static str, u32);

/// All of a client's places together.
const WHOLE: Place = ("", 0);

#[derive(Clone, Copy)]
struct Count {
    source: Source,
    place: Place,
    since: Duration,
    lines: u16,
    left_out: u32,
}

/// Decides what is written. What a client can cause is counted for each address and each qube; what it
/// cannot, for each place in the program. Debugging is not counted: who asks for it wants all of it.
pub struct Gate {
    levels: Option<Levels>,
    clients: Counts<CLIENTS>,
    machine: Counts<PLACES>,
}

/// Those that are counted apart, and all others together.
struct Counts<const N: usize>([Option<Count>; N], Option<Count>);

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Lets through what the default levels want.
    pub const fn new() -> Self {
        Self {
            levels: None,
            clients: Counts([None; CLIENTS], None),
            machine: Counts([None; PLACES], None),
        }
    }

    pub fn set_levels(&mut self, levels: Levels) {
        self.levels = Some(levels);
    }

    /// Gives `write` the line that a record becomes, if it becomes one, and what was left out before it.
    pub fn pass(&mut self, now: Duration, record: &Record<'_>, write: &mut dyn FnMut(&Line)) {
        self.pass_from(current(), now, record, write);
    }

    fn pass_from(
        &mut self,
        source: Source,
        now: Duration,
        record: &Record<'_>,
        write: &mut dyn FnMut(&Line),
    ) {
        let (level, target) = (record.level(), record.target());
        let wanted = match &self.levels {
            Some(levels) => levels.enabled(level, target),
            None => Levels::default().enabled(level, target),
        };
        if !wanted {
            return;
        }
        self.tell(now, write);
        if level <= Level::Info {
            let place = (record.file_static().unwrap_or_default(), record.line().unwrap_or(1));
            let (allowed, last) = self.count(now, source, place);
            if !allowed {
                return;
            }
            if let Some(source) = last {
                write(&Line::new(now, level, target, *record.args()));
                let text = format_args!("more of {source} is left out for a minute");
                return write(&Line::new(now, Level::Warn, "log", text));
            }
        }
        write(&Line::new(now, level, target, *record.args()));
    }

    /// Tells of what was left out in minutes that are over.
    pub fn tell(&mut self, now: Duration, write: &mut dyn FnMut(&Line)) {
        for slot in self.clients.slots().chain(self.machine.slots()) {
            if let Some(count) = slot.take_if(|count| now >= count.since.saturating_add(MINUTE))
                && count.left_out > 0
            {
                let (left_out, source) = (count.left_out, count.source);
                let text = format_args!("{left_out} lines of {source} were left out");
                write(&Line::new(now, Level::Warn, "log", text));
            }
        }
    }

    /// Whether a line may be written, and whose last one it is for now.
    fn count(&mut self, now: Duration, source: Source, place: Place) -> (bool, Option<Source>) {
        if source == Source::Machine {
            return self.machine.slot(now, source, place).take(true);
        }
        let counts = &mut self.clients;
        let room = counts.slot(now, source, place).lines < LINES_OF_A_PLACE;
        let taken = counts.slot(now, source, WHOLE).take(room);
        if taken.0 {
            let of_place = counts.slot(now, source, place);
            of_place.lines = of_place.lines.saturating_add(1);
        }
        taken
    }
}

impl Count {
    /// Takes one of the lines, if there is `room` elsewhere; says whose last one it was. One more is kept
    /// for what tells of those that were left out.
    fn take(&mut self, room: bool) -> (bool, Option<Source>) {
        const MOST: u16 = LINES - 2;
        if !room || self.lines >= MOST {
            self.left_out = self.left_out.saturating_add(1);
            return (false, None);
        }
        self.lines = self.lines.saturating_add(1);
        (true, (self.lines == MOST).then_some(self.source))
    }
}

impl<const N: usize> Counts<N> {
    /// The count of a place; when there is no room for another, that of all others.
    fn slot(&mut self, now: Duration, source: Source, place: Place) -> &mut Count {
        let new = Count { source, place, since: now, lines: 0, left_out: 0 };
        let is = |count: &Count| count.source == source && count.place == place;
        let known = self.0.iter().position(|count| count.as_ref().is_some_and(is));
        let free = || self.0.iter().position(Option::is_none);
        match known.or_else(free).and_then(|at| self.0.get_mut(at)) {
            Some(slot) => slot.get_or_insert(new),
            None => self.1.get_or_insert(Count { source: Source::Others, place: WHOLE, ..new }),
        }
    }

    fn slots(&mut self) -> impl Iterator<Item = &mut Option<Count>> {
        self.0.iter_mut().chain([&mut self.1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr};

    struct Log(Gate, Vec<String>);

    impl Log {
        fn say(&mut self, seconds: u64, source: Source, line: u32, level: Level) {
            let mut record = Record::builder();
            record.level(level).target("server").file_static(Some("here.rs")).line(Some(line));
            let Self(gate, lines) = self;
            let now = Duration::from_secs(seconds);
            gate.pass_from(
                source,
                now,
                &record.args(format_args!("{line}")).build(),
                &mut |line| {
                    lines.push(line.as_str().split(": ").nth(1).unwrap().trim().into());
                },
            );
        }
    }

    fn address(n: u32) -> Source {
        Source::Address(IpAddr::V4(Ipv4Addr::from(n)))
    }

    #[test]
    fn one_source_writes_twenty_lines_a_minute_and_the_rest_is_counted() {
        let mut log = Log(Gate::new(), Vec::new());
        for n in 0..1000 {
            log.say(n / 20, address(1), 1 + n as u32 % 5, Level::Warn);
        }
        assert_eq!(log.1.len(), 19);
        assert_eq!(log.1.last().unwrap(), "more of 0.0.0.1 is left out for a minute");
        // Of another source nothing is lost, nor of the machine.
        log.say(50, address(2), 1, Level::Info);
        log.say(50, Source::Machine, 1, Level::Error);
        assert_eq!(log.1.len(), 21);
        log.say(60, address(3), 1, Level::Info);
        assert_eq!(log.1[21], "982 lines of 0.0.0.1 were left out");
        log.say(61, address(1), 1, Level::Info);
        assert_eq!(log.1.len(), 24);
    }

    #[test]
    fn many_lines_of_one_kind_do_not_hide_another_kind() {
        let mut log = Log(Gate::new(), Vec::new());
        for _ in 0..1000 {
            log.say(1, Source::qube("work"), 1, Level::Warn);
        }
        assert_eq!(log.1.len(), LINES_OF_A_PLACE as usize);
        log.say(1, Source::qube("work"), 2, Level::Info);
        assert_eq!(log.1.last().unwrap(), "2");
        log.say(61, Source::Machine, 3, Level::Info);
        assert_eq!(log.1[9..], ["992 lines of qube work were left out", "3"]);
    }

    #[test]
    fn many_sources_share_what_is_left_and_the_machine_has_its_own() {
        let mut log = Log(Gate::new(), Vec::new());
        for n in 0..10_000 {
            log.say(1, address(n), 1, Level::Warn);
        }
        assert!(log.1.len() < CLIENTS + LINES as usize, "{}", log.1.len());
        for _ in 0..100 {
            log.say(2, Source::Machine, 7, Level::Warn);
        }
        assert!(log.1.len() < CLIENTS + 2 * LINES as usize, "{}", log.1.len());
    }

    #[test]
    fn who_asks_for_debugging_gets_all_of_it_and_levels_count() {
        let mut log = Log(Gate::new(), Vec::new());
        log.say(1, address(1), 1, Level::Debug);
        assert!(log.1.is_empty());
        log.0.set_levels(Levels::parse("debug").unwrap());
        (0..100).for_each(|_| log.say(1, address(1), 1, Level::Debug));
        assert_eq!(log.1.len(), 100);
    }
}

//! Modes, owners and symbolic links on exFAT volumes that were made for them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
mod common;
mod exfat_image;
use common::*;
use exfat_image::{find, sign};
use fat::{BlockDevice, Change, Error, Geometry, OpenOptions, Posix, Volume};

const PLAIN: Posix = Posix { mode: 0o100_644, nanoseconds: 0, uid: 1000, gid: 1000 };
/// 04A783FA-FED6-4C0A-B8B9-7E19D5F695BE.
const GUID: [u8; 16] = [
    0xFA, 0x83, 0xA7, 0x04, 0xD6, 0xFE, 0x0A, 0x4C, 0xB8, 0xB9, 0x7E, 0x19, 0xD5, 0xF6, 0x95, 0xBE,
];

fn problems(disk: &impl BlockDevice) -> Vec<String> {
    let mut said = Vec::new();
    let report = &mut |problem: &fat::Problem| said.push(problem.to_string());
    block_on(fat::check(disk, report, &mut |_, _| ())).unwrap();
    said
}

fn blank() -> Disk {
    Disk::new(mkfs_exfat(8 << 10, &["-c", "4K", "-b", "4K"]))
}

/// A volume that was made for them.
fn marked() -> (Disk, Volume<Disk>) {
    let disk = blank();
    let volume = mount(&disk);
    block_on(async {
        volume.keep_journal().await.unwrap();
        volume.mark_posix().await.unwrap();
    });
    (disk, volume)
}

fn again(volume: Volume<Disk>, disk: &Disk) -> Volume<Disk> {
    block_on(volume.unmount()).unwrap();
    assert_eq!(problems(disk), [""; 0]);
    drop(volume);
    mount(disk)
}

/// How many files and links have an entry of ours.
fn entries(disk: &Disk) -> u32 {
    let counted = block_on(fat::check(disk, &mut |_| (), &mut |_, _| ())).unwrap();
    counted.links + counted.modes
}

async fn chmod(volume: &Volume<Disk>, path: &str, mode: u32) {
    volume.change_attributes(path, Change::posix(Some(mode), None, PLAIN), None).await.unwrap();
}

/// Permission bits, user and group.
async fn shown(volume: &Volume<Disk>, path: &str) -> Option<(u32, u32, u32)> {
    let posix = volume.metadata(path).await.unwrap().posix;
    posix.map(|posix| (posix.permissions(), posix.uid, posix.gid))
}

async fn link(volume: &Volume<Disk>, path: &str, target: &str) -> Result<(), Error> {
    volume.create_link_by(path, target, (1000, 1000), None).await
}

#[test]
fn a_mode_is_kept_by_one_entry_of_the_file_that_needs_it() {
    let (disk, volume) = marked();
    block_on(async {
        for name in ["/a", "/script", "/z"] {
            put(&volume, name, name.as_bytes()).await.unwrap();
        }
        chmod(&volume, "/a", 0o644).await;
        assert_eq!(shown(&volume, "/a").await, None, "as any file");
        chmod(&volume, "/script", 0o755).await;
        assert_eq!(shown(&volume, "/script").await, Some((0o755, 1000, 1000)));
        volume
            .change_attributes("/script", Change::posix(None, Some((7, 8)), PLAIN), None)
            .await
            .unwrap();
        chmod(&volume, "/z", 0o444).await;
        assert!(volume.metadata("/z").await.unwrap().read_only);
        assert_eq!(shown(&volume, "/z").await, None, "the attribute says it");
        volume.create_dir("/dir").await.unwrap();
        chmod(&volume, "/dir", 0o700).await;
    });
    let volume = again(volume, &disk);
    assert_eq!(entries(&disk), 1);
    let slots = disk.image();
    let at = slots.as_chunks::<32>().0.iter().rposition(|slot| slot[2..18] == GUID).unwrap();
    let mut expected = [0; 32];
    expected[0] = 0xE0;
    expected[2..18].copy_from_slice(&GUID);
    expected[18..20].copy_from_slice(&0o100_755u16.to_le_bytes());
    (expected[24], expected[28]) = (7, 8);
    assert_eq!(slots.as_chunks::<32>().0[at], expected, "byte by byte");
    block_on(async {
        assert_eq!(shown(&volume, "/script").await, Some((0o755, 7, 8)));
        assert_eq!(get(&volume, "/script").await.unwrap(), b"/script");
        assert_eq!(list(&volume, "/").await.unwrap(), ["a", "dir", "script", "z"]);
        volume.rename("/script", "/dir/a name that needs more entries", true).await.unwrap();
        put(&volume, "/other", b"other").await.unwrap();
        volume.rename("/dir/a name that needs more entries", "/other", true).await.unwrap();
        assert_eq!(shown(&volume, "/other").await, Some((0o755, 7, 8)));
        volume
            .change_attributes(
                "/other",
                Change::posix(Some(0o644), Some((1000, 1000)), PLAIN),
                None,
            )
            .await
            .unwrap();
        assert_eq!(shown(&volume, "/other").await, None);
        put(&volume, "/a", b"a").await.unwrap();
        assert_eq!(get(&volume, "/other").await.unwrap(), b"/script");
    });
    drop(again(volume, &disk));
    assert_eq!(entries(&disk), 0, "given back");
}

#[test]
fn an_open_file_gets_its_mode_under_any_name() {
    let (disk, volume) = marked();
    block_on(async {
        volume.create_dir("/dir").await.unwrap();
        put(&volume, "/dir/before", b"b").await.unwrap();
        let file = volume.open("/dir/file", &WRITE).await.unwrap();
        put(&volume, "/dir/behind", b"b").await.unwrap();
        volume.write(&file, 0, &pattern(1, 9000)).await.unwrap();
        volume.rename("/dir", "/moved", true).await.unwrap();
        volume.change_file(&file, Change::posix(Some(0o750), None, PLAIN)).await.unwrap();
        volume.write(&file, 9000, &pattern(2, 500)).await.unwrap();
        volume.rename("/moved/file", "/renamed", true).await.unwrap();
        volume.change_file(&file, Change::posix(None, Some((0, 0)), PLAIN)).await.unwrap();
        volume.set_file_times(&file, Some(NOW + 5), None).await.unwrap();
        let gone = volume.open("/gone", &WRITE).await.unwrap();
        volume.remove_file("/gone").await.unwrap();
        volume.change_file(&gone, Change::posix(Some(0o700), None, PLAIN)).await.unwrap();
        assert_eq!(volume.file_metadata(&gone).posix.unwrap().permissions(), 0o700);
    });
    let volume = again(volume, &disk);
    block_on(async {
        assert_eq!(shown(&volume, "/renamed").await, Some((0o750, 0, 0)));
        assert_eq!(volume.metadata("/renamed").await.unwrap().modified, NOW + 5);
        let expected = [pattern(1, 9000), pattern(2, 500)].concat();
        assert!(get(&volume, "/renamed").await.unwrap() == expected);
        assert_eq!(list(&volume, "/moved").await.unwrap(), ["before", "behind"]);
    });
    assert_eq!(entries(&disk), 1);
}

#[test]
fn a_new_file_has_its_mode_from_the_start() {
    let (disk, volume) = marked();
    block_on(async {
        let posix = Some((Posix::file(0o555, 5, 5), PLAIN));
        let options = OpenOptions { posix, ..WRITE };
        let file = volume.open("/program", &options).await.unwrap();
        volume.write(&file, 0, b"#!").await.unwrap();
        drop(file);
        assert_eq!(volume.open("/program", &WRITE).await.unwrap_err(), Error::ReadOnlyFile);
        let object = OpenOptions { posix: Some((Posix::file(0o444, 1000, 1000), PLAIN)), ..WRITE };
        drop(volume.open("/object", &object).await.unwrap());
    });
    let volume = again(volume, &disk);
    assert_eq!(block_on(shown(&volume, "/program")), Some((0o555, 5, 5)));
    assert_eq!(block_on(shown(&volume, "/object")), None);
    assert_eq!(entries(&disk), 1);
}

#[test]
fn a_listing_meets_every_file_whose_mode_changes_meanwhile() {
    let (disk, volume) = marked();
    block_on(async {
        let names: Vec<String> = (0..40).map(|n| format!("file {n:02}")).collect();
        for name in &names {
            put(&volume, &format!("/{name}"), b"x").await.unwrap();
        }
        volume.remove_file("/file 00").await.unwrap();
        let dir = volume.open_dir("/").await.unwrap();
        let mut met = std::collections::BTreeSet::new();
        for name in &names[1..] {
            met.extend(volume.read_dir(&dir, 1).await.unwrap().into_iter().map(|e| e.name));
            chmod(&volume, &format!("/{name}"), 0o755).await;
        }
        loop {
            let more = volume.read_dir(&dir, 9).await.unwrap();
            if more.is_empty() {
                break;
            }
            met.extend(more.into_iter().map(|e| e.name));
        }
        assert_eq!(met, names[1..].iter().cloned().collect());
    });
    drop(again(volume, &disk));
    assert_eq!(entries(&disk), 39);
}

#[test]
fn links_are_small_files_that_are_not_followed() {
    let (disk, volume) = marked();
    block_on(async {
        volume.create_dir("/dir").await.unwrap();
        put(&volume, "/dir/file", b"data").await.unwrap();
        link(&volume, "/up", "dir/file").await.unwrap();
        link(&volume, "/dir/into", "/dir").await.unwrap();
        link(&volume, "/nowhere", &"ä/".repeat(1365)).await.unwrap();
        assert_eq!(link(&volume, "/up", "x").await, Err(Error::AlreadyExists));
        assert_eq!(link(&volume, "/DIR", "x").await, Err(Error::AlreadyExists));
        assert_eq!(link(&volume, "/none", "").await, Err(Error::NotFound));
        assert_eq!(link(&volume, "/none", &"x".repeat(4096)).await, Err(Error::BadLink));
        assert_eq!(link(&volume, "/none", "a\0").await, Err(Error::BadLink));
        assert_eq!(link(&volume, "/no/ne", "a").await, Err(Error::NotFound));
        assert_eq!(link(&volume, "/.mirage-sshfs", "a").await, Err(Error::Reserved));
    });
    let volume = again(volume, &disk);
    block_on(async {
        let up = volume.metadata("/up").await.unwrap();
        assert!(up.is_link() && !up.is_dir && up.len == 8);
        assert_eq!(volume.read_link("/up").await.unwrap().target, "dir/file");
        assert_eq!(volume.read_link("/nowhere").await.unwrap().target, "ä/".repeat(1365));
        assert_eq!(volume.read_link("/dir").await, Err(Error::NotALink));
        assert_eq!(volume.read_link("/dir/into/file").await, Err(Error::NotADirectory));
        assert_eq!(volume.open("/up", &WRITE).await.unwrap_err(), Error::IsALink);
        assert_eq!(volume.open_dir("/dir/into").await.unwrap_err(), Error::NotADirectory);
        let first = async |path: &str, last| {
            let link = volume.first_link(path, last).await.unwrap();
            link.map(|link| (path[..link.end].to_string(), link.target))
        };
        let into = Some(("/dir/into".to_string(), "/dir".to_string()));
        assert_eq!(first("/dir/into/file", true).await, into);
        assert_eq!(first("/dir/into", true).await, into);
        assert_eq!(first("/dir/into", false).await, None);
        assert_eq!(first("/dir//into/x", false).await.map(|link| link.1), Some("/dir".into()));
        assert_eq!(first("/dir/file/x", true).await, None);
        assert_eq!(first("/", true).await, None);
        volume.rename("/up", "/dir/moved", false).await.unwrap();
        volume.rename("/dir/moved", "/dir/file", true).await.unwrap();
        assert_eq!(volume.read_link("/dir/file").await.unwrap().target, "dir/file");
        put(&volume, "/new", b"new").await.unwrap();
        volume.rename("/new", "/dir/file", true).await.unwrap();
        assert!(!volume.metadata("/dir/file").await.unwrap().is_link());
        let free = volume.space().await.unwrap().free_clusters;
        volume.remove_file("/nowhere").await.unwrap();
        volume.sync().await.unwrap();
        assert_eq!(volume.space().await.unwrap().free_clusters, free + 1);
    });
    drop(again(volume, &disk));
    assert_eq!(entries(&disk), 1);
}

#[test]
fn the_mark_and_all_entries_are_taken_off() {
    let (disk, volume) = marked();
    block_on(async {
        volume.create_dir("/dir").await.unwrap();
        for number in 0..100 {
            put(&volume, &format!("/dir/file {number}"), b"x").await.unwrap();
            chmod(&volume, &format!("/dir/file {number}"), 0o700).await;
        }
        link(&volume, "/dir/link", "file 7").await.unwrap();
        assert_eq!(volume.unmark_posix().await, Ok(101));
        assert!(!volume.keeps_posix());
        assert_eq!(link(&volume, "/l", "x").await, Err(Error::NoLinks));
        let owner = volume
            .change_attributes("/dir/link", Change::posix(None, Some((1, 1)), PLAIN), None)
            .await;
        assert_eq!(owner, Err(Error::NoLinks));
    });
    let volume = again(volume, &disk);
    assert_eq!((entries(&disk), fsck(&disk.image())), (0, String::new()));
    block_on(async {
        assert!(!volume.keeps_posix());
        assert_eq!(list(&volume, "/dir").await.unwrap().len(), 101);
        assert_eq!(get(&volume, "/dir/link").await.unwrap(), b"file 7");
        volume.mark_posix().await.unwrap();
        assert!(!volume.metadata("/dir/link").await.unwrap().is_link());
    });
}

#[test]
fn without_the_mark_nothing_is_kept_and_nothing_lost() {
    let (disk, volume) = marked();
    block_on(async {
        put(&volume, "/file", b"x").await.unwrap();
        chmod(&volume, "/file", 0o711).await;
        link(&volume, "/link", "file").await.unwrap();
        volume.unmount().await.unwrap();
    });
    // As another system removes it.
    let mut image = disk.image();
    let mark: Vec<u8> = "posix".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let slots = image.as_chunks_mut::<32>().0;
    let is = |slot: &[u8; 32]| slot[0] == 0xC1 && slot[2..12] == mark && slot[12] == 0;
    for at in (0..slots.len()).filter(|at| is(&slots[*at])).collect::<Vec<_>>() {
        for slot in &mut slots[at - 2..=at] {
            slot[0] &= 0x7F;
        }
    }
    let disk = Disk::new(image);
    let volume = mount(&disk);
    block_on(async {
        assert!(!volume.keeps_posix());
        assert_eq!(shown(&volume, "/file").await, None);
        assert!(!volume.metadata("/link").await.unwrap().is_link());
        assert_eq!(get(&volume, "/link").await.unwrap(), b"file");
        put(&volume, "/file", b"more").await.unwrap();
        volume.rename("/file", "/a new name that is long", true).await.unwrap();
        volume.mark_posix().await.unwrap();
        assert_eq!(shown(&volume, "/a new name that is long").await, Some((0o711, 1000, 1000)));
        assert!(volume.metadata("/link").await.unwrap().is_link());
    });
}

#[test]
fn fat_volumes_keep_none() {
    let disk = mkfs(2048, &["-F", "12"]);
    let volume = mount(&disk);
    block_on(async {
        assert_eq!(volume.mark_posix().await, Err(Error::NoLinks));
        assert_eq!(link(&volume, "/l", "x").await, Err(Error::NoLinks));
        assert_eq!(volume.read_link("/l").await, Err(Error::NoLinks));
        assert_eq!(volume.unmark_posix().await, Ok(0));
    });
}

/// Changes the set of a name in the first cluster of the root, and puts its checksum right.
fn edit(disk: &Disk, name: &str, change: impl FnOnce(&mut [[u8; 32]])) {
    let geometry = block_on(Geometry::read(disk)).unwrap();
    let size = geometry.cluster_size as usize;
    let root = geometry.data_start as usize + (geometry.root_cluster as usize - 2) * size;
    let image = disk.image();
    let slots = image[root..root + size].as_chunks::<32>().0;
    let place = find(slots, name);
    let mut set = slots[place.clone()].to_vec();
    change(&mut set);
    sign(&mut set);
    disk.poke(root + place.start * 32, set.as_flattened());
}

/// Where the first byte of a file's is.
fn data(disk: &Disk, volume: &Volume<Disk>, name: &str) -> usize {
    let mut first = 0;
    edit(disk, name, |set| first = u32::from_le_bytes(set[1][20..24].try_into().unwrap()));
    let geometry = volume.geometry();
    (geometry.data_start + u64::from(first - 2) * u64::from(geometry.cluster_size)) as usize
}

#[test]
fn damaged_entries_are_named_and_do_no_harm() {
    let (disk, volume) = marked();
    block_on(async {
        for name in ["/foreign", "/typeless", "/flagged", "/twice"] {
            put(&volume, name, b"data").await.unwrap();
            chmod(&volume, name, 0o700).await;
        }
        for name in ["/empty", "/long", "/nul", "/latin", "/hole"] {
            link(&volume, name, "a target").await.unwrap();
        }
        put(&volume, "/big", &[b'x'; 5000]).await.unwrap();
        volume.unmount().await.unwrap();
    });
    edit(&disk, "foreign", |set| set[3][17] ^= 1);
    edit(&disk, "typeless", |set| set[3][19] = 0x40);
    edit(&disk, "flagged", |set| set[3][1] = 2);
    edit(&disk, "empty", |set| {
        set[1][8..16].fill(0);
        set[1][20..].fill(0);
    });
    // It becomes that file's.
    let mut stream = [0; 32];
    edit(&disk, "big", |set| stream = set[1]);
    edit(&disk, "long", |set| set[1][8..].copy_from_slice(&stream[8..]));
    edit(&disk, "big", |set| {
        set[1][8..16].fill(0);
        set[1][20..].fill(0);
    });
    disk.poke(data(&disk, &volume, "nul") + 3, b"\0");
    disk.poke(data(&disk, &volume, "latin"), b"\xE4");
    edit(&disk, "hole", |set| set[1][8] = 3);
    let said = problems(&disk);
    let expected = [
        "/typeless: entry",
        "/empty: entry",
        "/long: entry",
        "/nul: entry",
        "/latin: entry",
        "/hole: entry",
    ];
    for path in expected {
        assert!(said.iter().any(|line| line.starts_with(path)), "{path}: {said:#?}");
    }
    // The clusters that those that became empty had.
    assert_eq!(said.len(), expected.len() + 1, "{said:#?}");
    let volume = mount(&disk);
    block_on(async {
        for name in ["/foreign", "/typeless", "/flagged"] {
            assert_eq!(shown(&volume, name).await, None, "{name}");
            assert_eq!(get(&volume, name).await.unwrap(), b"data");
        }
        assert!(!volume.metadata("/empty").await.unwrap().is_link());
        assert_eq!(get(&volume, "/long").await.unwrap(), [b'x'; 5000]);
        for name in ["/nul", "/latin", "/hole"] {
            assert!(volume.metadata(name).await.unwrap().is_link());
            assert_eq!(volume.read_link(name).await, Err(Error::BadLink), "{name}");
            assert_eq!(volume.first_link(&format!("{name}/x"), true).await, Err(Error::BadLink));
        }
        // What is another's goes along, and what says nothing is put right.
        chmod(&volume, "/foreign", 0o750).await;
        volume.rename("/foreign", "/renamed", true).await.unwrap();
        chmod(&volume, "/typeless", 0o750).await;
        for name in ["/renamed", "/typeless"] {
            assert_eq!(shown(&volume, name).await, Some((0o750, 1000, 1000)));
        }
        for name in ["/nul", "/latin", "/hole", "/long", "/empty"] {
            volume.remove_file(name).await.unwrap();
        }
        volume.unmount().await.unwrap();
    });
    edit(&disk, "renamed", |set| {
        assert_eq!((set.len(), set[3][17], set[4][17]), (5, 0xBF, 0xBE), "both are there");
    });
}

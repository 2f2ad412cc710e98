//! What kind of file system a file lies on, and how much room is left there.

use std::path::{Path, PathBuf};

/// Where Linux tells it; elsewhere it is not known.
const TABLE: &str = "/proc/self/mountinfo";

/// The kind of file system of a file, as Linux calls it: `ext4`, `nfs4`.
pub(super) fn kind_of(file: &Path) -> Option<String> {
    let table = std::fs::read_to_string(TABLE).ok()?;
    kind_in(&table, &file.canonicalize().ok()?)
}

/// Whether other machines may have the same files open: locks and shared memory, which SQLite's write-ahead
/// log needs, end at the machine's border (<https://sqlite.org/wal.html>).
pub(super) fn is_remote(kind: &str) -> bool {
    const KINDS: [&str; 15] = [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "ocfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    ];
    kind.starts_with("nfs") || kind.starts_with("fuse.") || KINDS.contains(&kind)
}

/// How many bytes may still be written where a file lies.
pub(super) fn free(file: &Path) -> Option<u64> {
    let there = rustix::fs::statvfs(file).ok()?;
    Some(there.f_bavail.saturating_mul(there.f_frsize))
}

/// Finds the mount that a path is in: of those above it the longest, and of equal ones the last, which
/// covers the others. A line is `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw` (proc(5)).
fn kind_in(table: &str, path: &Path) -> Option<String> {
    let mounts = table.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        Some((PathBuf::from(unescaped(before.split(' ').nth(4)?)), after.split(' ').next()?))
    });
    let above = mounts.filter(|(place, _)| path.starts_with(place));
    above.max_by_key(|(place, _)| place.components().count()).map(|(_, kind)| kind.to_owned())
}

/// Spaces and the like stand as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
25 22 0:5 / /data rw - ext4 /dev/vdb rw
26 25 0:31 / /data rw - nfs4 server:/export rw,vers=4.2
27 22 0:32 / /data/in\\040memory rw - tmpfs tmpfs rw
broken line
";

    #[test]
    fn the_nearest_mount_counts_and_of_two_the_last() {
        for (path, kind) in [
            ("/inbox.db", "ext4"),
            ("/database/inbox.db", "ext4"),
            ("/data/inbox.db", "nfs4"),
            ("/data/in memory/a.db", "tmpfs"),
        ] {
            assert_eq!(kind_in(MOUNTS, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
        assert_eq!(kind_in("", Path::new("/a")), None);
    }

    #[test]
    fn this_machine_has_one_too() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(kind_of(file.path()).is_some_and(|kind| !is_remote(&kind)));
        assert!(free(file.path()).is_some());
        assert_eq!(kind_of(Path::new("/nowhere/at/all")), None);
    }

    #[test]
    fn what_crosses_the_network_is_known() {
        assert!(["nfs", "nfs4", "cifs", "fuse.sshfs", "9p"].into_iter().all(is_remote));
        assert!(!["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk"].into_iter().any(is_remote));
    }
}

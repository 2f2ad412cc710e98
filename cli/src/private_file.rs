//! Files that hold secrets: for their owner alone, and never half written.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

/// Reads a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether others than its owner may read it.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

/// Puts a text in the place of a file, at once: whoever reads sees the old one or the new one, also
/// after a crash. The new file is its owner's alone.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    put(path, text, None)
}

/// Like [`replace`], for a file that another user's service may read: owner, group and mode stay.
///
/// # Errors
///
/// Also where they can't stay, as when it belongs to somebody else; then the file is as it was.
pub(crate) fn replace_content(path: &Path, text: &str) -> io::Result<()> {
    put(path, text, Some(&std::fs::metadata(path)?))
}

fn put(path: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = folder.join(name);
    let written = write(&new, text)
        .and_then(|()| like.map_or(Ok(()), |like| resemble(&new, like)))
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written?;
    // The name, too, must be on the disk.
    std::fs::File::open(folder)?.sync_all()
}

fn resemble(path: &Path, like: &Metadata) -> io::Result<()> {
    let own = std::fs::metadata(path)?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        chown(path, Some(like.uid()), Some(like.gid()))?;
    }
    std::fs::set_permissions(path, like.permissions())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/secret");
        assert_eq!(read(&path).expect("readable"), None);
        for text in ["one", "two"] {
            replace(&path, text).expect("written");
            assert_eq!(read(&path).expect("readable").as_deref(), Some(text));
            assert!(!is_open_to_others(&path));
        }
        let names = std::fs::read_dir(path.parent().expect("a folder")).expect("readable").count();
        assert_eq!(names, 1, "nothing else is left");
    }

    #[test]
    fn who_may_read_a_file_may_read_its_new_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ring");
        assert!(replace_content(&path, "one").is_err(), "there is none");
        std::fs::write(&path, "one").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        replace_content(&path, "two").expect("written");
        assert_eq!(read(&path).expect("readable").as_deref(), Some("two"));
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    }
}

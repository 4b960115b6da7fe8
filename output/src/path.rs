//! Which place a path names, whatever links, `..` and upper case it is written with.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

/// The place that a path names, of which the last parts need not exist yet: links followed, `..` gone.
///
/// # Errors
/// [`Error::Refused`] for a link to nothing, [`Error::Io`] where a part cannot be looked at.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    let failed = |source| Error::io(path, "find", source);
    let mut at = std::path::absolute(path).map_err(failed)?;
    let mut missing = Vec::new();
    // How many of the missing parts before are taken back by `..`.
    let mut back = 0;
    loop {
        match at.canonicalize() {
            Ok(mut place) => {
                place.extend(missing.iter().rev());
                return Ok(place);
            }
            // A file in the way is for whoever makes the folders to tell.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(failed(error)),
        }
        if at.is_symlink() {
            return Err(Error::refused(
                at,
                "is a link to nothing; remove it, or name another place",
            ));
        }
        match at.components().next_back() {
            Some(Component::ParentDir) => back += 1,
            Some(Component::Normal(_)) if back > 0 => back -= 1,
            Some(Component::Normal(name)) => missing.push(name.to_owned()),
            _ => return std::path::absolute(path).map_err(failed),
        }
        at.pop();
    }
}

/// Whether what stands for a path is a URL: a folder of that name would be made in its place.
pub fn is_url(path: &Path) -> bool {
    let scheme = path.to_str().and_then(|text| text.split_once("://"));
    scheme.is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Whether a folder is a mount point: nothing can be renamed to its place. Behind a link is what counts.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn is_mount_point(folder: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    match statx(CWD, folder, AtFlags::empty(), StatxFlags::BASIC_STATS) {
        // Also of a part of the same file system, as containers have it.
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        _ => has_own_device(folder),
    }
}

/// Whether a folder is a mount point: nothing can be renamed to its place. Behind a link is what counts.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn is_mount_point(folder: &Path) -> bool {
    has_own_device(folder)
}

/// Whether a folder lies on another device than the folder it is in.
#[cfg(unix)]
fn has_own_device(folder: &Path) -> bool {
    let device = |path: &Path| rustix::fs::stat(path).map(|found| found.st_dev);
    match (device(folder), device(&folder.join(".."))) {
        (Ok(own), Ok(above)) => own != above,
        _ => false,
    }
}

#[cfg(not(unix))]
fn has_own_device(_folder: &Path) -> bool {
    false
}

/// How one place lies to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    /// They are one.
    Same,
    /// Somewhere below it.
    Inside,
    /// Somewhere above it.
    Around,
    /// None of these.
    Apart,
}

/// How `place` lies to `other`; both [resolved](resolve), and need not exist.
pub fn lies(place: &Path, other: &Path) -> Lies {
    let mut above = place.ancestors();
    if above.next().is_some_and(|place| same(place, other)) {
        return Lies::Same;
    }
    if above.any(|folder| same(folder, other)) {
        return Lies::Inside;
    }
    match other.ancestors().skip(1).any(|folder| same(folder, place)) {
        true => Lies::Around,
        false => Lies::Apart,
    }
}

/// Whether two paths are one file or folder. By what the system calls it: names that differ in case may be one, and so may two places
/// of a tree.
#[cfg(unix)]
fn same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| rustix::fs::stat(path).map(|found| (found.st_dev, found.st_ino));
    match (identity(one), identity(other)) {
        (Ok(one), Ok(other)) => one == other,
        // What is not there yet has nothing but its name.
        (Err(_), Err(_)) => one == other,
        _ => false,
    }
}

#[cfg(not(unix))]
fn same(one: &Path, other: &Path) -> bool {
    one == other
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_dots_name_the_place_behind_them() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/inner")).unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        for (written, meant) in [
            ("link", "real"),
            ("link/inner/..", "real"),
            ("link/new/deeper", "real/new/deeper"),
            ("link/new/../other", "real/other"),
            ("real/inner/../new", "real/new"),
        ] {
            assert_eq!(
                resolve(&root.join(written)).unwrap(),
                root.join(meant),
                "{written}"
            );
        }
        symlink(root.join("gone"), root.join("dangling")).unwrap();
        let error = resolve(&root.join("dangling")).unwrap_err().to_string();
        assert!(error.contains("link to nothing"), "{error}");
    }

    #[test]
    fn a_url_is_told_from_a_path() {
        for (path, url) in [
            ("s3://bucket/x", true),
            ("file:///x", true),
            ("runs/s3:/x", false),
            ("://x", false),
            ("/a b://x", false),
        ] {
            assert_eq!(is_url(Path::new(path)), url, "{path}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mount_point_is_known_and_a_folder_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(root.path()) && !is_mount_point(&root.path().join("missing")));
        let proc = Path::new("/proc");
        if !proc.join("self").exists() {
            eprintln!("skipped: nothing is mounted at /proc");
            return;
        }
        assert!(is_mount_point(proc) && has_own_device(proc) && !is_mount_point(&proc.join("self")));
        symlink(proc, root.path().join("link")).unwrap();
        assert!(is_mount_point(&root.path().join("link")));
    }

    #[test]
    fn two_names_of_one_place_are_the_same() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/file"), "x").unwrap();
        std::fs::hard_link(root.join("a/file"), root.join("other-name")).unwrap();
        let of = |place: &str, other: &str| lies(&root.join(place), &root.join(other));
        assert_eq!(of("other-name", "a/file"), Lies::Same);
        assert_eq!(of("a", "a"), Lies::Same);
        assert_eq!(of("a/b/new", "a"), Lies::Inside);
        assert_eq!(of("a", "a/b"), Lies::Around);
        assert_eq!(of("ab", "a"), Lies::Apart);
        assert_eq!(of("new", "a"), Lies::Apart);
    }
}

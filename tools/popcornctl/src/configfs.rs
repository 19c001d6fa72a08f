// SPDX-License-Identifier: GPL-2.0
//! What a module of ours has in configfs: a directory for each thing that is configured, with a file for each of
//! its attributes.

use crate::failure::Failure;
use nix::errno::Errno;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

const ROOT: &str = "/sys/kernel/config";

/// The directory of a module. Errors are the kernel's errno.
#[derive(Clone, Debug)]
pub(crate) struct Configfs(PathBuf);

impl Configfs {
    /// That of `module`, after a look whether it is there.
    pub(crate) fn open(module: &str) -> Result<Self, Failure> {
        Self::at(Path::new(ROOT), module)
    }

    pub(crate) fn at(root: &Path, module: &str) -> Result<Self, Failure> {
        let path = root.join(module);
        if path.is_dir() {
            return Ok(Self(path));
        }
        let next = if root.is_dir() {
            format!(
                "load the module {module} (modprobe {module}); if it is loaded: mount -t configfs configfs {}",
                root.display()
            )
        } else {
            "boot a kernel that has configfs (CONFIG_CONFIGFS_FS); `popcornctl doctor` tells what else is missing".into()
        };
        Err(Failure {
            errno: Some(Errno::ENOENT),
            ..Failure::new(
                format!("{}: there is no such directory", path.display()),
                next,
            )
        })
    }

    fn file(&self, name: &str, attribute: &str) -> PathBuf {
        self.0.join(name).join(attribute)
    }

    /// Names of all directories in it, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(errno)? {
            let entry = entry.map_err(errno)?;
            if entry.file_type().map_err(errno)?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Makes a directory; the module makes its files.
    pub(crate) fn make(&self, name: &str) -> Result<(), Errno> {
        fs::create_dir(self.0.join(name)).map_err(errno)
    }

    /// Removes one, with its files.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Errno> {
        fs::remove_dir(self.0.join(name)).map_err(errno)
    }

    /// An attribute's text, without the newline at its end.
    pub(crate) fn read(&self, name: &str, attribute: &str) -> Result<String, Errno> {
        let bytes = fs::read(self.file(name, attribute)).map_err(errno)?;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    /// Writes an attribute; `text` has no newline.
    pub(crate) fn write(&self, name: &str, attribute: &str, text: &str) -> Result<(), Errno> {
        // One write is one value: what is written in two is two. The newline lets an empty one arrive.
        let line = format!("{text}\n");
        let mut file = OpenOptions::new()
            .write(true)
            .open(self.file(name, attribute))
            .map_err(errno)?;
        let written = loop {
            match file.write(line.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => break result.map_err(errno)?,
            }
        };
        if written == line.len() {
            Ok(())
        } else {
            Err(Errno::E2BIG)
        }
    }
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::Folder;

    fn empty(folder: &Folder) -> Configfs {
        fs::create_dir(folder.path().join("popcorn_x")).unwrap();
        Configfs::at(folder.path(), "popcorn_x").unwrap()
    }

    #[test]
    fn names_are_directories_only_and_sorted() {
        let folder = Folder::new();
        let configfs = empty(&folder);
        configfs.make("node2").unwrap();
        configfs.make("node1").unwrap();
        fs::write(folder.path().join("popcorn_x/file"), "").unwrap();
        assert_eq!(configfs.names().unwrap(), ["node1", "node2"]);
        assert_eq!(configfs.make("node1"), Err(Errno::EEXIST));
        configfs.remove("node1").unwrap();
        assert_eq!(configfs.remove("node1"), Err(Errno::ENOENT));
        assert_eq!(configfs.names().unwrap(), ["node2"]);
    }

    #[test]
    fn a_value_is_a_line() {
        let folder = Folder::new();
        let configfs = empty(&folder);
        configfs.make("node1").unwrap();
        // configfs makes the files; nothing else does.
        assert_eq!(configfs.write("node1", "cpus", "1"), Err(Errno::ENOENT));
        let file = folder.path().join("popcorn_x/node1/cpus");
        fs::write(&file, "").unwrap();
        configfs.write("node1", "cpus", "1-3").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"1-3\n");
        assert_eq!(configfs.read("node1", "cpus").unwrap(), "1-3");
        fs::write(&file, "\n").unwrap();
        assert_eq!(configfs.read("node1", "cpus").unwrap(), "");
        assert_eq!(configfs.read("node2", "cpus"), Err(Errno::ENOENT));
    }

    #[test]
    fn without_the_directory_it_says_what_to_load() {
        let folder = Folder::new();
        let failure = Configfs::at(folder.path(), "popcorn_boot").unwrap_err();
        assert!(
            failure.next.contains("modprobe popcorn_boot"),
            "{}",
            failure.next
        );
        let failure = Configfs::at(&folder.path().join("config"), "popcorn_boot").unwrap_err();
        assert!(
            failure.next.contains("CONFIG_CONFIGFS_FS"),
            "{}",
            failure.next
        );
    }
}

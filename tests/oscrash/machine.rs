//! A machine whose power can be cut: a file system in an image, mounted in a namespace of its own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::process::{Process, program, serve_args};

/// Room for a whole run several times over; the image is sparse.
const DISK_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// One machine between two power cuts. Dropping it takes the mount away.
pub(crate) struct Machine {
    holder: Child,
    home: PathBuf,
    image: PathBuf,
}

impl Machine {
    /// A machine with an empty disk; everything of it is in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        let image = home.join("disk-0");
        let file = fs::File::create(&image).expect("made");
        file.set_len(DISK_BYTES).expect("sparse");
        run("mkfs.ext4", &["-q", "-F", text(&image)]);
        Self::boot(home, image)
    }

    /// Mounts a disk as it is: the journal is replayed, nothing else is done to it.
    fn boot(home: &Path, image: PathBuf) -> Self {
        let at = home.join("mount");
        fs::create_dir_all(&at).expect("made");
        let (disk, at) = (text(&image), text(&at));
        let mount = format!("mount -o loop '{disk}' '{at}' && echo mounted && exec sleep 3600");
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &mount])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut said = [0; 8];
        let out = holder.stdout.as_mut().expect("piped");
        let mounted = out.read_exact(&mut said);
        assert!(
            mounted.is_ok() && said == *b"mounted\n",
            "{disk} could not be mounted: this test needs the rights of root and loop devices"
        );
        Self {
            holder,
            home: home.to_owned(),
            image,
        }
    }

    /// Starts the program on this machine.
    pub(crate) fn start(&self) -> Process {
        let data = self.home.join("mount/data");
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .arg(program())
            .args(serve_args(&data));
        Process::of(command, &self.home, &data)
    }

    /// The data directory as this process sees it.
    pub(crate) fn data(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let data = self.home.join("mount/data");
        root.join(data.strip_prefix("/").expect("absolute"))
    }

    /// What the disk holds at this moment: what the file system has made durable, and what it happened to write.
    pub(crate) fn copy_disk(&self, number: usize) -> PathBuf {
        let copy = self.home.join(format!("disk-{number}"));
        run("cp", &["--sparse=always", text(&self.image), text(&copy)]);
        copy
    }

    /// The same machine after the power came back, with the disk as it was copied.
    pub(crate) fn boot_again(self, image: PathBuf) -> Self {
        let (home, old) = (self.home.clone(), self.image.clone());
        drop(self);
        fs::remove_file(old).expect("there");
        Self::boot(&home, image)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    let status = status.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}

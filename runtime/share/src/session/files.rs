//! The passthrough file system with numbers of files that tell the host's file systems apart. Main type: [`Files`]. Above: `session`. Below: fuse-backend-rs, which
//! does all of the work; [`Numbers`] has the arithmetic.
//!
//! A guest sees all shares as one device, whatever the host has mounted in them. What is the same there by device and number is one file to cp(1), tar(1) and
//! rsync(1): so the number says which device it is of, too.

use std::{ffi::CStr, io, sync::Arc, time::Duration};

use fuse_backend_rs::{
    abi::fuse_abi::{CreateIn, stat64, statvfs64},
    api::filesystem::{
        Context, DirEntry, Entry, FileSystem, FsOptions, GetxattrReply, ListxattrReply,
        OpenOptions, SetattrValid, ZeroCopyReader, ZeroCopyWriter,
    },
    passthrough::PassthroughFs,
};

use super::numbers::Numbers;

/// How a file that is open is called.
type Handle = u64;

/// How the guest calls a file, which is no number of the host's.
type Inode = u64;

type Opened = (Option<Handle>, OpenOptions, Option<u32>);

/// The files of the tree.
pub(super) struct Files {
    files: Arc<PassthroughFs>,
    numbers: Numbers,
}

impl Files {
    pub(super) fn new(files: Arc<PassthroughFs>) -> Self {
        Self {
            files,
            numbers: Numbers::default(),
        }
    }

    fn entry(&self, mut entry: Entry) -> Entry {
        self.number(&mut entry.attr);
        entry
    }

    fn number(&self, about: &mut stat64) {
        about.st_ino = self.numbers.of(about.st_dev, about.st_ino);
    }
}

impl FileSystem for Files {
    type Inode = Inode;
    type Handle = Handle;

    fn init(&self, capable: FsOptions) -> io::Result<FsOptions> {
        self.files.init(capable)
    }

    fn destroy(&self) {
        self.files.destroy();
    }

    fn statfs(&self, context: &Context, inode: Inode) -> io::Result<statvfs64> {
        self.files.statfs(context, inode)
    }

    fn lookup(&self, context: &Context, parent: Inode, name: &CStr) -> io::Result<Entry> {
        self.files
            .lookup(context, parent, name)
            .map(|entry| self.entry(entry))
    }

    fn forget(&self, context: &Context, inode: Inode, count: u64) {
        self.files.forget(context, inode, count);
    }

    fn batch_forget(&self, context: &Context, requests: Vec<(Inode, u64)>) {
        self.files.batch_forget(context, requests);
    }

    fn getattr(
        &self,
        context: &Context,
        inode: Inode,
        handle: Option<Handle>,
    ) -> io::Result<(stat64, Duration)> {
        let (mut about, lifetime) = self.files.getattr(context, inode, handle)?;
        self.number(&mut about);
        Ok((about, lifetime))
    }

    fn setattr(
        &self,
        context: &Context,
        inode: Inode,
        attr: stat64,
        handle: Option<Handle>,
        valid: SetattrValid,
    ) -> io::Result<(stat64, Duration)> {
        let (mut about, lifetime) = self.files.setattr(context, inode, attr, handle, valid)?;
        self.number(&mut about);
        Ok((about, lifetime))
    }

    fn readlink(&self, context: &Context, inode: Inode) -> io::Result<Vec<u8>> {
        self.files.readlink(context, inode)
    }

    fn symlink(
        &self,
        context: &Context,
        linkname: &CStr,
        parent: Inode,
        name: &CStr,
    ) -> io::Result<Entry> {
        self.files
            .symlink(context, linkname, parent, name)
            .map(|entry| self.entry(entry))
    }

    fn mknod(
        &self,
        context: &Context,
        parent: Inode,
        name: &CStr,
        mode: u32,
        rdev: u32,
        umask: u32,
    ) -> io::Result<Entry> {
        self.files
            .mknod(context, parent, name, mode, rdev, umask)
            .map(|entry| self.entry(entry))
    }

    fn mkdir(
        &self,
        context: &Context,
        parent: Inode,
        name: &CStr,
        mode: u32,
        umask: u32,
    ) -> io::Result<Entry> {
        self.files
            .mkdir(context, parent, name, mode, umask)
            .map(|entry| self.entry(entry))
    }

    fn unlink(&self, context: &Context, parent: Inode, name: &CStr) -> io::Result<()> {
        self.files.unlink(context, parent, name)
    }

    fn rmdir(&self, context: &Context, parent: Inode, name: &CStr) -> io::Result<()> {
        self.files.rmdir(context, parent, name)
    }

    fn rename(
        &self,
        context: &Context,
        olddir: Inode,
        oldname: &CStr,
        newdir: Inode,
        newname: &CStr,
        flags: u32,
    ) -> io::Result<()> {
        self.files
            .rename(context, olddir, oldname, newdir, newname, flags)
    }

    fn link(
        &self,
        context: &Context,
        inode: Inode,
        newparent: Inode,
        newname: &CStr,
    ) -> io::Result<Entry> {
        self.files
            .link(context, inode, newparent, newname)
            .map(|entry| self.entry(entry))
    }

    fn open(
        &self,
        context: &Context,
        inode: Inode,
        flags: u32,
        fuse_flags: u32,
    ) -> io::Result<Opened> {
        self.files.open(context, inode, flags, fuse_flags)
    }

    fn create(
        &self,
        context: &Context,
        parent: Inode,
        name: &CStr,
        args: CreateIn,
    ) -> io::Result<(Entry, Option<Handle>, OpenOptions, Option<u32>)> {
        let (entry, handle, options, backing) = self.files.create(context, parent, name, args)?;
        Ok((self.entry(entry), handle, options, backing))
    }

    fn read(
        &self,
        context: &Context,
        inode: Inode,
        handle: Handle,
        w: &mut dyn ZeroCopyWriter,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        flags: u32,
    ) -> io::Result<usize> {
        self.files
            .read(context, inode, handle, w, size, offset, lock_owner, flags)
    }

    fn write(
        &self,
        context: &Context,
        inode: Inode,
        handle: Handle,
        r: &mut dyn ZeroCopyReader,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        delayed_write: bool,
        flags: u32,
        fuse_flags: u32,
    ) -> io::Result<usize> {
        self.files.write(
            context,
            inode,
            handle,
            r,
            size,
            offset,
            lock_owner,
            delayed_write,
            flags,
            fuse_flags,
        )
    }

    fn flush(
        &self,
        context: &Context,
        inode: Inode,
        handle: Handle,
        lock_owner: u64,
    ) -> io::Result<()> {
        self.files.flush(context, inode, handle, lock_owner)
    }

    fn fsync(
        &self,
        context: &Context,
        inode: Inode,
        datasync: bool,
        handle: Handle,
    ) -> io::Result<()> {
        self.files.fsync(context, inode, datasync, handle)
    }

    fn fallocate(
        &self,
        context: &Context,
        inode: Inode,
        handle: Handle,
        mode: u32,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        self.files
            .fallocate(context, inode, handle, mode, offset, length)
    }

    fn release(
        &self,
        context: &Context,
        inode: Inode,
        flags: u32,
        handle: Handle,
        flush: bool,
        flock_release: bool,
        lock_owner: Option<u64>,
    ) -> io::Result<()> {
        self.files.release(
            context,
            inode,
            flags,
            handle,
            flush,
            flock_release,
            lock_owner,
        )
    }

    fn setxattr(
        &self,
        context: &Context,
        inode: Inode,
        name: &CStr,
        value: &[u8],
        flags: u32,
    ) -> io::Result<()> {
        self.files.setxattr(context, inode, name, value, flags)
    }

    fn getxattr(
        &self,
        context: &Context,
        inode: Inode,
        name: &CStr,
        size: u32,
    ) -> io::Result<GetxattrReply> {
        self.files.getxattr(context, inode, name, size)
    }

    fn listxattr(&self, context: &Context, inode: Inode, size: u32) -> io::Result<ListxattrReply> {
        self.files.listxattr(context, inode, size)
    }

    fn removexattr(&self, context: &Context, inode: Inode, name: &CStr) -> io::Result<()> {
        self.files.removexattr(context, inode, name)
    }

    fn opendir(
        &self,
        context: &Context,
        inode: Inode,
        flags: u32,
    ) -> io::Result<(Option<Handle>, OpenOptions)> {
        self.files.opendir(context, inode, flags)
    }

    /// By way of the other list: this one has the guest's names of files, which are no numbers.
    fn readdir(
        &self,
        context: &Context,
        inode: Inode,
        handle: Handle,
        size: u32,
        offset: u64,
        add_entry: &mut dyn FnMut(DirEntry<'_>) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut add = |mut listed: DirEntry<'_>, entry: Entry| {
            let entry = self.entry(entry);
            listed.ino = entry.attr.st_ino;
            let added = add_entry(listed);
            // The guest does not hear of the file. One that has no room any more is let go of below.
            if !matches!(added, Ok(0)) {
                self.files.forget(context, entry.inode, 1);
            }
            added
        };
        self.files
            .readdirplus(context, inode, handle, size, offset, &mut add)
    }

    fn readdirplus(
        &self,
        context: &Context,
        inode: Inode,
        handle: Handle,
        size: u32,
        offset: u64,
        add_entry: &mut dyn FnMut(DirEntry<'_>, Entry) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut add = |mut listed: DirEntry<'_>, entry: Entry| {
            let entry = self.entry(entry);
            listed.ino = entry.attr.st_ino;
            add_entry(listed, entry)
        };
        self.files
            .readdirplus(context, inode, handle, size, offset, &mut add)
    }

    fn fsyncdir(
        &self,
        context: &Context,
        inode: Inode,
        datasync: bool,
        handle: Handle,
    ) -> io::Result<()> {
        self.files.fsyncdir(context, inode, datasync, handle)
    }

    fn releasedir(
        &self,
        context: &Context,
        inode: Inode,
        flags: u32,
        handle: Handle,
    ) -> io::Result<()> {
        self.files.releasedir(context, inode, flags, handle)
    }

    fn access(&self, context: &Context, inode: Inode, mask: u32) -> io::Result<()> {
        self.files.access(context, inode, mask)
    }

    fn lseek(
        &self,
        context: &Context,
        inode: Inode,
        handle: Handle,
        offset: u64,
        whence: u32,
    ) -> io::Result<u64> {
        self.files.lseek(context, inode, handle, offset, whence)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! A character device under `/dev`.
//!
//! C header: `include/linux/miscdevice.h`.

use crate::bindings;
use core::marker::PhantomData;
use kernel::bindings::file;
use kernel::bindings::file_operations;
use kernel::bindings::inode;
use kernel::bindings::O_NONBLOCK;
use kernel::error::from_result;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::ffi::c_int;
use kernel::ffi::c_long;
use kernel::ffi::c_uint;
use kernel::ffi::c_ulong;
use kernel::prelude::*;
use kernel::types::ForeignOwnable;
use kernel::types::Opaque;
use kernel::uaccess::UserSlice;
use kernel::uaccess::UserSliceReader;
use kernel::uaccess::UserSliceWriter;

/// What a device does. All functions run in process context of the caller and may sleep.
pub trait MiscDevice: 'static {
    /// What belongs to one open file.
    type File: ForeignOwnable + Send + Sync;

    /// A file is opened.
    fn open() -> Result<Self::File>;

    /// A call on an open file; several may run at once.
    fn ioctl(
        _file: <Self::File as ForeignOwnable>::Borrowed<'_>,
        _command: u32,
        _argument: usize,
    ) -> Result<isize> {
        Err(ENOTTY)
    }

    /// A read at `*position`, which it advances; the number of bytes written to `to`. It must not wait
    /// if `nonblocking`.
    fn read(
        _file: <Self::File as ForeignOwnable>::Borrowed<'_>,
        _to: &mut UserSliceWriter,
        _position: &mut i64,
        _nonblocking: bool,
    ) -> Result<usize> {
        Err(EINVAL)
    }

    /// A write; the number of bytes taken from `from`. It must not wait if `nonblocking`.
    fn write(
        _file: <Self::File as ForeignOwnable>::Borrowed<'_>,
        _from: &mut UserSliceReader,
        _nonblocking: bool,
    ) -> Result<usize> {
        Err(EINVAL)
    }

    /// The last user of the open file is gone.
    fn release(file: Self::File) {
        drop(file);
    }
}

/// A registered device. Dropping it removes the node; files that are open keep the module, so that
/// this is not dropped before they are closed.
#[pin_data(PinnedDrop)]
pub struct Registration<T: MiscDevice> {
    #[pin]
    device: Opaque<bindings::pcn_misc_device>,
    _device: PhantomData<T>,
}

// SAFETY: after registration only the C side uses the two objects.
unsafe impl<T: MiscDevice> Send for Registration<T> {}
// SAFETY: a shared reference gives nothing.
unsafe impl<T: MiscDevice> Sync for Registration<T> {}

impl<T: MiscDevice> Registration<T> {
    /// Registers `/dev/NAME` with the access `mode`. May sleep.
    ///
    /// # Errors
    ///
    /// Those of `misc_register()`.
    pub fn register(
        name: &'static CStr,
        mode: u16,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        let register = move |slot: *mut Opaque<bindings::pcn_misc_device>| {
            let operations = file_operations {
                open: Some(open::<T>),
                release: Some(release::<T>),
                read: Some(read::<T>),
                write: Some(write::<T>),
                unlocked_ioctl: Some(ioctl::<T>),
                ..Default::default()
            };
            // SAFETY: `slot` is valid for writing and pinned, and stays until drop() has
            // deregistered it; the module owns the code and outlives its open files as their owner.
            to_result(unsafe {
                bindings::pcn_misc_register(
                    Opaque::raw_get(slot),
                    &operations,
                    name.as_char_ptr(),
                    u32::from(mode),
                    module.as_ptr(),
                )
            })
        };
        // SAFETY: the closure initialises the slot when it succeeds; when it fails, nothing of the
        // slot needs to be dropped.
        let device = unsafe { kernel::init::pin_init_from_closure::<_, Error>(register) };
        try_pin_init!(Self {
            device <- device,
            _device: PhantomData,
        }? Error)
    }
}

#[pinned_drop]
impl<T: MiscDevice> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: registered when `self` was made.
        unsafe { bindings::pcn_misc_deregister(self.device.get()) };
    }
}

/// # Safety
///
/// Called by the C side as the file operation of this name, on a file of this device.
unsafe extern "C" fn open<T: MiscDevice>(_inode: *mut inode, file: *mut file) -> c_int {
    match T::open() {
        Ok(private) => {
            // SAFETY: the file is being opened, so nobody else looks at it; release() takes the
            // pointer back.
            unsafe { (*file).private_data = private.into_foreign().cast_mut().cast() };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Called by the C side as the file operation of this name, on a file of this device.
unsafe extern "C" fn release<T: MiscDevice>(_inode: *mut inode, file: *mut file) -> c_int {
    // SAFETY: open() stored it; this is the last call on the file.
    T::release(unsafe { T::File::from_foreign((*file).private_data.cast()) });
    0
}

/// # Safety
///
/// Called by the C side as the file operation of this name, on a file of this device.
unsafe extern "C" fn read<T: MiscDevice>(
    file: *mut file,
    buffer: *mut c_char,
    length: usize,
    position: *mut i64,
) -> isize {
    // SAFETY: open() stored it, and release() does not run during a call.
    let private = unsafe { T::File::borrow((*file).private_data.cast()) };
    let mut writer = UserSlice::new(buffer as _, length).writer();
    // SAFETY: the position is a local variable of the caller, for this call alone.
    let position = unsafe { &mut *position };
    // SAFETY: the file is open during the call.
    let nonblocking = unsafe { is_nonblocking(file) };
    from_result(|| Ok(T::read(private, &mut writer, position, nonblocking)? as isize))
}

/// # Safety
///
/// Called by the C side as the file operation of this name, on a file of this device.
unsafe extern "C" fn write<T: MiscDevice>(
    file: *mut file,
    buffer: *const c_char,
    length: usize,
    _position: *mut i64,
) -> isize {
    // SAFETY: open() stored it, and release() does not run during a call.
    let private = unsafe { T::File::borrow((*file).private_data.cast()) };
    let mut reader = UserSlice::new(buffer as _, length).reader();
    // SAFETY: the file is open during the call.
    let nonblocking = unsafe { is_nonblocking(file) };
    from_result(|| Ok(T::write(private, &mut reader, nonblocking)? as isize))
}

/// # Safety
///
/// `file` is open.
unsafe fn is_nonblocking(file: *const file) -> bool {
    // SAFETY: as required of the caller; one word, which fcntl() may change meanwhile.
    let flags = unsafe { core::ptr::read_volatile(&raw const (*file).f_flags) };
    flags & O_NONBLOCK != 0
}

/// # Safety
///
/// Called by the C side as the file operation of this name, on a file of this device.
unsafe extern "C" fn ioctl<T: MiscDevice>(
    file: *mut file,
    command: c_uint,
    argument: c_ulong,
) -> c_long {
    // SAFETY: open() stored it, and release() does not run during a call.
    let private = unsafe { T::File::borrow((*file).private_data.cast()) };
    from_result(|| Ok(T::ioctl(private, command, argument)? as c_long))
}

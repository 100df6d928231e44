"""System calls that a submission has no business with. Numbers are those of x86_64."""

import ctypes
import mmap
import os
import signal
from collections.abc import Callable
from pathlib import Path

from .calls import call, child, words
from .errors import Stopped

TILES = "/input/tiles.npy"
NEW_NAMESPACES, NEW_USER, NEW_UTS = 0x00020000, 0x10000000, 0x04000000
AT_FDCWD = -100


def io_uring(_targets: dict) -> None:
    """io_uring_setup with one entry."""
    call(425, 1, ctypes.create_string_buffer(120))


def bpf(_targets: dict) -> None:
    """BPF_MAP_CREATE: an array of one element."""
    call(321, 0, words(2 | 4 << 32, 4 | 1 << 32), 128)


def userfaultfd(_targets: dict) -> None:
    """Handle page faults of one's own user mode."""
    call(323, 1)


def perf(_targets: dict) -> None:
    """perf_event_open: the software clock of one's own process."""
    call(298, words(1 | 112 << 32), 0, -1, -1, 0)


def keyctl(_targets: dict) -> None:
    """Keep a key in the process's keyring and read it back."""
    key = call(248, b"user", b"probe", b"tiles", 5, -2)
    found = ctypes.create_string_buffer(5)
    call(250, 11, key, found, 5)
    if found.raw != b"tiles":
        raise Stopped


def ptrace(_targets: dict) -> None:
    """Attach to another process of one's own."""
    with child(lambda: None) as pid:
        call(101, 16, pid, 0, 0)
        os.waitpid(pid, 0)


def process_vm(_targets: dict) -> None:
    """Read what another process has in its memory."""
    secret = ctypes.create_string_buffer(b"ours", 8)
    with child(lambda: setattr(secret, "value", b"theirs")) as pid:
        read = ctypes.create_string_buffer(8)
        mine, other = words(ctypes.addressof(read), 8), words(ctypes.addressof(secret), 8)
        call(310, pid, mine, 1, other, 1, 0)
        if read.value != b"theirs":
            raise Stopped


def mount_tmpfs(_targets: dict) -> None:
    """Mount a file system of one's own on a folder of /tmp."""
    target = Path("/tmp/mounted")  # noqa: S108 - the container's own
    target.mkdir(exist_ok=True)
    call(165, b"none", str(target).encode(), b"tmpfs", 0, 0)
    mounted = target.is_mount()
    call(166, str(target).encode(), 2)
    if not mounted:
        raise Stopped


def own_namespace(kind: str, enter: Callable[[], None]) -> None:
    """Enter another namespace; the proof is that ours is another one afterwards."""
    before = Path(f"/proc/self/ns/{kind}").readlink()
    enter()
    if Path(f"/proc/self/ns/{kind}").readlink() == before:
        raise Stopped


def userns(_targets: dict) -> None:
    """Become root of a user namespace of one's own."""
    own_namespace("user", lambda: call(272, NEW_USER))


def userns_mount(targets: dict) -> None:
    """Mount, as root of a user namespace of one's own."""
    own_namespace("user", lambda: call(272, NEW_USER | NEW_NAMESPACES))
    mount_tmpfs(targets)


def clone3_userns(_targets: dict) -> None:
    """The same through clone3, whose flags a filter cannot see."""
    before = Path("/proc/self/ns/user").readlink()
    pid = call(435, words(NEW_USER, 0, 0, 0, signal.SIGCHLD, size=88), 88)
    if pid == 0:
        os._exit(Path("/proc/self/ns/user").readlink() == before)
    if os.waitpid(pid, 0)[1] != 0:
        raise Stopped


def setns(_targets: dict) -> None:
    """Enter a namespace through a descriptor: here the one we are in."""
    call(308, os.open("/proc/self/ns/uts", os.O_RDONLY), NEW_UTS)


def int80(_targets: dict) -> None:
    """Call getpid through the 32-bit entry: a program of eight bytes."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    if ctypes.CFUNCTYPE(ctypes.c_int)(address)() != os.getpid():
        raise Stopped


def x32(_targets: dict) -> None:
    """Call getpid with the bit that marks the x32 ABI."""
    call(0x40000000 | 39)


def splice(_targets: dict) -> None:
    """Move pages of a read-only file into a pipe."""
    reader, writer = os.pipe()
    with Path(TILES).open("rb") as tiles:
        call(275, tiles.fileno(), 0, writer, 0, 16, 0)
        if os.read(reader, 16) != os.pread(tiles.fileno(), 16, 0):
            raise Stopped


def name_to_handle(_targets: dict) -> None:
    """Get the handle under which the file system knows the tiles."""
    call(303, AT_FDCWD, TILES.encode(), words(120), words(), 0)


def modify_ldt(_targets: dict) -> None:
    """Write a segment into the local descriptor table and read it back."""
    call(154, 1, (ctypes.c_uint32 * 4)(0, 0, 0xFFFFF, 1 | 1 << 4 | 1 << 6), 16)
    table = words()
    call(154, 0, table, 8)
    if not table[0]:
        raise Stopped


def personality(_targets: dict) -> None:
    """Turn address randomisation off."""
    call(135, 0x0040000)
    if not call(135, 0xFFFFFFFF) & 0x0040000:
        raise Stopped


def quotactl(_targets: dict) -> None:
    """Q_SYNC without a device: write the quotas of every file system of the host."""
    call(179, 0x800001 << 8, 0, 0, 0)


def chroot(_targets: dict) -> None:
    """Change the root directory."""
    call(161, b"/tmp")
    if Path("/input").exists():
        raise Stopped


def syslog(_targets: dict) -> None:
    """Read the host's kernel log."""
    if not call(103, 3, ctypes.create_string_buffer(4096), 4096):
        raise Stopped


def sync(_targets: dict) -> None:
    """Make the host write everything it has cached."""
    call(162)


def cachestat(_targets: dict) -> None:
    """Ask which pages of the tiles are in the host's memory."""
    Path(TILES).read_bytes()
    with Path(TILES).open("rb") as tiles:
        found = words()
        call(451, tiles.fileno(), words(), found, 0)
    if not found[0]:
        raise Stopped


def mincore(_targets: dict) -> None:
    """The same through a mapping."""
    with Path(TILES).open("rb") as tiles:
        private = mmap.mmap(tiles.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        pages = ctypes.create_string_buffer(len(private) // mmap.PAGESIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(private))
        call(27, ctypes.c_void_p(address), len(private), pages)


def inotify(_targets: dict) -> None:
    """Watch a file for what others do to it."""
    call(254, call(294, 0), TILES.encode(), 1)


def sysv_shm(_targets: dict) -> None:
    """Make a System V shared memory segment, and remove it."""
    call(31, call(29, 0, 4096, 0o600), 0, 0)


def sysv_msg(_targets: dict) -> None:
    """Make a System V message queue, and remove it."""
    call(71, call(68, 0, 0o600), 0, 0)


def posix_mq(_targets: dict) -> None:
    """Make a POSIX message queue, and remove it."""
    call(240, b"probe", os.O_CREAT | os.O_RDWR, 0o600, 0)
    call(241, b"probe")


def module(_targets: dict) -> None:
    """Load a kernel module that is none: another answer than EPERM is the loader's own."""
    reached(lambda: call(175, b"not a module", 12, b""))


def kexec(_targets: dict) -> None:
    """Replace the kernel, with flags that no kernel takes."""
    reached(lambda: call(246, 0, 0, 0, 0xFFFF))


def reached(act: Callable[[], object]) -> None:
    """Succeed where the kernel got as far as reading bad arguments: ENOEXEC or EINVAL."""
    try:
        act()
    except OSError as error:
        if error.errno not in {8, 22}:
            raise


PROBES = {
    "k-io-uring": io_uring,
    "k-bpf": bpf,
    "k-userfaultfd": userfaultfd,
    "k-perf": perf,
    "k-keyctl": keyctl,
    "k-ptrace": ptrace,
    "k-process-vm": process_vm,
    "k-mount": mount_tmpfs,
    "k-userns": userns,
    "k-userns-mount": userns_mount,
    "k-clone3-userns": clone3_userns,
    "k-setns": setns,
    "k-int80-abi": int80,
    "k-x32-abi": x32,
    "k-splice": splice,
    "k-name-to-handle": name_to_handle,
    "k-modify-ldt": modify_ldt,
    "k-personality": personality,
    "k-quotactl": quotactl,
    "k-chroot": chroot,
    "k-syslog": syslog,
    "k-sync": sync,
    "k-cachestat": cachestat,
    "k-mincore": mincore,
    "k-inotify": inotify,
    "k-sysv-shm": sysv_shm,
    "k-sysv-msg": sysv_msg,
    "k-posix-mq": posix_mq,
    "k-module": module,
    "k-kexec": kexec,
}

"""Ways to write what must not be written, and to read what must not be read."""

import ctypes
import os
import shutil
import stat
import time
import zlib
from pathlib import Path

from .errors import Stopped

LIBC = ctypes.CDLL(None, use_errno=True)
TILES = "/input/tiles.npy"
WORKSPACE, FOLDER = "/workspace", "/folder"  # never mounted behind the wall
PYTHON = "/usr/bin/python3.11"
TMP = "/tmp"  # noqa: S108 - a path inside the container
FUSE = os.makedev(10, 229)
# Of linux/mount.h and linux/fcntl.h.
MS_REMOUNT, MS_BIND = 32, 4096
HANDLE_BYTES = 128
DAY = 86_400


def tiles_write(_targets: dict) -> None:
    """Overwrite the first byte of the tiles."""
    descriptor = os.open(TILES, os.O_WRONLY)
    os.pwrite(descriptor, b"!", 0)


def tiles_create(_targets: dict) -> None:
    """Make a file in the host's folder of the tiles, or else in the image's."""
    if Path(WORKSPACE).is_dir():
        touch(f"{WORKSPACE}/created")
    else:
        touch("/input/created")
        raise Stopped  # it goes with the container


def touch(path: str) -> None:
    """Make an empty file."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


def tiles_remount(targets: dict) -> None:
    """Turn the read-only mount of the tiles into a writable one, and write."""
    checked(LIBC.mount(None, TILES.encode(), None, MS_REMOUNT | MS_BIND, None))
    tiles_write(targets)


def checked(result: int) -> int:
    """OSError where a function of the C library says that it failed."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def tiles_submount(_targets: dict) -> None:
    """Write into what the host has mounted below the tiles."""
    touch(f"{FOLDER}/nested/created")


def tiles_atime(_targets: dict) -> None:
    """Read the tiles, so that the time of the last access tells."""
    Path(TILES).read_bytes()
    if time.time() - Path(TILES).stat().st_atime > DAY:
        raise Stopped


def root_write(_targets: dict) -> None:
    """Make a file in the root directory, and stay until a look at the layer has been had."""
    touch("/written")
    time.sleep(1)


def hosts_fill(_targets: dict) -> None:
    """Put 8 MB into a file that the engine keeps on the host's disk."""
    with Path("/etc/hosts").open("ab", buffering=0) as file:
        file.writelines([bytes(10**6)] * 8)
    time.sleep(1)


def tmp_exec(_targets: dict) -> None:
    """Start a program of one's own making."""
    script = Path(TMP) / "script"
    script.write_text(f"#!{PYTHON} -ISs\nraise SystemExit(42)\n")
    script.chmod(0o755)
    ended_with_42(str(script))


def ended_with_42(program: str, *arguments: str) -> None:
    """Start a program; Stopped unless it ends with status 42."""
    child = os.posix_spawn(program, [program, *arguments], {})
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 42:
        raise Stopped


def memfd_exec(_targets: dict) -> None:
    """Start a program that is in no file system: what a mount without programs cannot stop."""
    descriptor = os.memfd_create("program")
    with open(descriptor, "wb", closefd=False) as program:
        program.write(Path(PYTHON).read_bytes())
    ended_with_42(f"/proc/self/fd/{descriptor}", "-ISsc", "raise SystemExit(42)")


def tmp_suid(_targets: dict) -> None:
    """As an ordinary user start a program that root has marked setuid."""
    program = f"{TMP}/setuid"
    shutil.copyfile(PYTHON, program)
    os.chown(program, 0, 0)
    Path(program).chmod(stat.S_ISUID | 0o755)
    os.setgid(1000)
    os.setuid(1000)
    ended_with_42(program, "-ISsc", "import os; raise SystemExit(42 if os.geteuid() == 0 else 0)")


def mknod_dev(_targets: dict) -> None:
    """Make a node for a device of the host where devices are allowed, and open it."""
    open_node("/dev/made")


def tmp_dev(_targets: dict) -> None:
    """The same in /tmp."""
    open_node(f"{TMP}/made")


def open_node(path: str) -> None:
    """Make a node for /dev/fuse and open it."""
    os.mknod(path, 0o666 | stat.S_IFCHR, FUSE)
    os.close(os.open(path, os.O_RDWR))


def open_by_handle(targets: dict) -> int:
    """Open a file of the host's by its inode, past every mount; the proof is its checksum.

    The handle is given; an attacker would count inodes up until one is there.
    """
    kind, content = targets["handle_type"], bytes.fromhex(targets["handle"])
    handle = (ctypes.c_uint * 2)(len(content), kind)
    buffer = ctypes.create_string_buffer(bytes(handle) + content.ljust(HANDLE_BYTES, b"\0"))
    mount = os.open(TILES, os.O_RDONLY)
    with open(checked(LIBC.open_by_handle_at(mount, buffer, os.O_RDONLY)), "rb") as file:
        return zlib.crc32(file.read())


def host_path_leak(_targets: dict) -> int:
    """Read where on the host the tiles are; the proof is the checksum of their folder's name."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        root, target = line.split()[3:5]
        if target == TILES and Path(root).parent.name:
            return zlib.crc32(Path(root).parent.name.encode())
    raise Stopped


def labels_reach(_targets: dict) -> int:
    """Look for a file of labels in every folder; the proof is its checksum."""
    for folder, folders, files in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in {"proc", "sys"}]
        if "labels.npy" in files:
            return zlib.crc32((Path(folder) / "labels.npy").read_bytes())
    raise Stopped


PROBES = {
    "fs-tiles-write": tiles_write,
    "fs-tiles-create": tiles_create,
    "fs-tiles-remount": tiles_remount,
    "fs-tiles-submount": tiles_submount,
    "fs-tiles-atime": tiles_atime,
    "fs-root-write": root_write,
    "fs-etc-hosts-fill": hosts_fill,
    "fs-tmp-exec": tmp_exec,
    "fs-memfd-exec": memfd_exec,
    "fs-tmp-suid": tmp_suid,
    "fs-mknod-dev": mknod_dev,
    "fs-tmp-dev": tmp_dev,
    "fs-open-by-handle": open_by_handle,
    "fs-host-path-leak": host_path_leak,
    "fs-labels-reach": labels_reach,
}

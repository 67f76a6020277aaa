"""The supervisor of sealed processes: it answers the calls that their seal (`s3mr.processes.seal`) hands out.

It connects for them, on a copy of the address that they cannot change any more, and to anything but one forbidden
place. It lets them reach processes of their own by id, and no others. While the gate is shut, no new process begins.

Source: seccomp_unotify(2), also on why an address must not be looked at in place.
"""

import contextlib
import ctypes
import errno
import fcntl
import ipaddress
import os
import select
import socket
import struct
import threading
from pathlib import Path
from typing import Final, NamedTuple

from s3mr.processes.descendants import descendants, process
from s3mr.processes.syscalls import LIBC, call, this_machine

_RECEIVE: Final = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_SEND: Final = 0xC0182101
_STILL_WAITS: Final = 0x80082102  # SECCOMP_IOCTL_NOTIF_ID_VALID, as every kernel takes it
_NOTICE: Final = struct.Struct("<QIIiIQ6Q")  # id, pid, flags; then the call: number, processor, place, arguments
_ANSWER: Final = struct.Struct("<QqiI")
_GO_ON: Final = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_ADDRESS_BYTES_MAX: Final = 128  # struct sockaddr_storage
_FAMILY: Final = struct.Struct("=H")
_PATH_BYTES_MAX: Final = 108
_CONNECTS_MAX: Final = 256  # at once; a connection that nobody takes is tried for minutes


class _Notice(NamedTuple):
    id: int
    pid: int
    name: str
    arguments: tuple[int, ...]


class Supervisor:
    """Supervises all processes that are sealed with ``listener``, in a thread of its own.

    ``template`` is the process that was sealed first, and whose children the others are. ``forbidden`` is an address,
    ``host:port``, to which nobody connects.
    """

    def __init__(self, listener: int, *, template: int, forbidden: str | None) -> None:
        self._listener = listener
        self._template = template
        self._forbidden = Forbidden(forbidden)
        self._shut = False
        self._machine = this_machine()
        self._connects = threading.BoundedSemaphore(_CONNECTS_MAX)
        threading.Thread(target=self._serve, name="s3mr-supervisor", daemon=True).start()

    def shut(self) -> None:
        """From now on, nobody but the template starts a process."""
        self._shut = True

    def open(self) -> None:
        """Let processes start processes."""
        self._shut = False

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        try:
            while not any(events & select.POLLHUP for _, events in poll.poll()):
                try:
                    notice = self._receive()
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.EINTR):  # the process has died meanwhile
                        raise
                else:
                    self._consider(notice)
        finally:
            os.close(self._listener)  # without a supervisor, all that is handed out fails

    def _receive(self) -> _Notice:
        room = bytearray(_NOTICE.size)  # it must be all zeros
        fcntl.ioctl(self._listener, _RECEIVE, room)
        number, pid, _, call_number, _, _, *arguments = _NOTICE.unpack(room)
        return _Notice(number, pid, self._machine.name(call_number), tuple(arguments))

    def _consider(self, notice: _Notice) -> None:
        """Answer, at once or, where that takes time, in a thread."""
        if notice.name != "connect":
            self._answer(notice, errno_or_zero=self._refused(notice))
        elif not self._connects.acquire(blocking=False):
            self._answer(notice, errno_or_zero=errno.EAGAIN)
        else:
            try:
                threading.Thread(target=self._connect, args=(notice,), name="s3mr-connect", daemon=True).start()
            except RuntimeError:  # there is no room for a thread more
                self._connects.release()
                self._answer(notice, errno_or_zero=errno.EAGAIN)

    def _refused(self, notice: _Notice) -> int:
        """Return the error of a call, or 0 if it may go on."""
        try:
            return 0 if self._may(notice) else errno.EPERM
        except ProcessLookupError:
            return errno.ESRCH

    def _may(self, notice: _Notice) -> bool:
        first, second = (ctypes.c_int(one).value for one in notice.arguments[:2])
        match notice.name:
            case "clone" | "fork" | "vfork":
                return not self._shut or notice.pid == self._template
            case "setpriority":
                return first == 0 and self._is_below(second)
            case "ioprio_set":
                return first == 1 and self._is_below(second)
            case "kill" if first < 0:
                return first != -1 and self._is_group_below(-first)
            case _:
                return self._is_below(first)

    def _is_below(self, pid: int) -> bool:
        """Whether a process, or a thread, is one of the supervised, and not the template."""
        own = os.getpid()
        seen = process(_process_of(pid))
        if seen is None or seen.pid in (own, self._template):
            return False
        while seen is not None and seen.parent > 1:
            if seen.parent == own:
                return True
            seen = process(seen.parent)
        return False

    def _is_group_below(self, group: int) -> bool:
        """Whether a group of processes has supervised members; then it has no others: each is in a session of ours."""
        if group in (os.getpgrp(), os.getpgid(self._template)):
            return False
        return any(one.group == group for one in descendants(os.getpid()))

    def _connect(self, notice: _Notice) -> None:
        try:
            self._answer(notice, errno_or_zero=self._connected(notice), done=True)
        finally:
            self._connects.release()

    def _connected(self, notice: _Notice) -> int:
        """Connect, and return the error."""
        descriptor, address_at, length_bytes = notice.arguments[:3]
        if not 0 <= length_bytes <= _ADDRESS_BYTES_MAX:
            return errno.EINVAL
        try:
            address = _memory(notice.pid, address_at, length_bytes)
            theirs = self._descriptor(notice.pid, ctypes.c_int(descriptor).value)
        except OSError as error:
            return error.errno or errno.EPERM
        try:
            fcntl.ioctl(self._listener, _STILL_WAITS, struct.pack("<Q", notice.id))
            if self._forbidden.is_at(address):
                return errno.EACCES
            address = _from_here(notice.pid, address)
            failed = LIBC.connect(theirs, address, len(address)) < 0
            return ctypes.get_errno() if failed else 0
        except OSError as error:
            return error.errno or errno.EPERM
        finally:
            os.close(theirs)

    def _descriptor(self, pid: int, descriptor: int) -> int:
        """Return a descriptor of ours for what a process has open."""
        held = os.pidfd_open(_process_of(pid))
        try:
            return call(self._machine.numbers.pidfd_getfd, held, descriptor, 0)
        finally:
            os.close(held)

    def _answer(self, notice: _Notice, *, errno_or_zero: int, done: bool = False) -> None:
        """Fail the call, or let it go on; or say that it is ``done``."""
        flags = 0 if errno_or_zero or done else _GO_ON
        with contextlib.suppress(FileNotFoundError):  # it has died meanwhile
            fcntl.ioctl(self._listener, _SEND, _ANSWER.pack(notice.id, 0, -errno_or_zero, flags))


class Forbidden:
    """A place to which nobody connects, ``host:port``, under whatever address this machine has; None: there is none."""

    def __init__(self, place: str | None) -> None:
        host, _, port = (place or "").rpartition(":")
        self._port = int(port) if port.isdecimal() else None
        self._addresses = set()
        if self._port is not None:
            with contextlib.suppress(OSError):  # a name that nobody knows: then its port is looked at alone
                self._addresses = {str(one[4][0]) for one in socket.getaddrinfo(host.strip("[]"), self._port)}

    def is_at(self, address: bytes) -> bool:
        """Whether a ``struct sockaddr`` names that place."""
        if self._port is None or len(address) < _FAMILY.size:
            return False
        (family,) = _FAMILY.unpack_from(address)
        width = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}.get(family)
        if width is None or len(address) < width.stop or int.from_bytes(address[2:4]) != self._port:
            return False
        there = ipaddress.ip_address(address[width])
        if isinstance(there, ipaddress.IPv6Address) and there.ipv4_mapped:
            there = there.ipv4_mapped
        return there.is_loopback or there.is_unspecified or str(there) in self._addresses or _is_ours(there)


def _is_ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this machine has that address: only then can one be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True


def _process_of(pid: int) -> int:
    """Return the id of the process that a thread belongs to.

    Raises:
        ProcessLookupError: there is none.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None
    return next(int(line.split()[1]) for line in lines if line.startswith("Tgid:"))


def _memory(pid: int, start: int, length_bytes: int) -> bytes:
    """Return a copy of what lies in a process' memory.

    Raises:
        OSError: it is not there.
    """
    if not length_bytes:
        return b""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        try:
            memory.seek(start)
            found = memory.read(length_bytes)
        except (OSError, OverflowError):
            found = b""
    if len(found) < length_bytes:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    return found


def _from_here(pid: int, address: bytes) -> bytes:
    """Return the address of a socket file, which may be relative to a process' folder, for this process.

    Raises:
        OSError: it is too long.
    """
    if len(address) <= _FAMILY.size or _FAMILY.unpack_from(address)[0] != socket.AF_UNIX:
        return address
    path = address[_FAMILY.size :].split(b"\0")[0]
    if not path or path.startswith(b"/"):  # nothing: a name that is no file's
        return address
    path = os.fsencode(Path(f"/proc/{pid}/cwd").readlink() / os.fsdecode(path))
    if len(path) > _PATH_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return address[: _FAMILY.size] + path

"""Supervise sealed processes: answer the system calls that their seal (`s3mr.processes.seal`) passes on.

The supervisor connects for them to any address except a forbidden one. It uses its own copy of the address, which they
cannot change after the check. It lets them reach only their own processes by id. It can forbid new processes.

Source: seccomp_unotify(2), also on why an address must be copied before it is checked.
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
_STILL_WAITS: Final = 0x80082102  # SECCOMP_IOCTL_NOTIF_ID_VALID, in the form that every kernel accepts
_NOTICE: Final = struct.Struct("<QIIiIQ6Q")  # id, pid, flags; then the call: number, architecture, address, arguments
_ANSWER: Final = struct.Struct("<QqiI")
_CONTINUE: Final = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_ADDRESS_BYTES_MAX: Final = 128  # struct sockaddr_storage
_FAMILY: Final = struct.Struct("=H")
_PATH_BYTES_MAX: Final = 108
_CONNECTS_MAX: Final = 256  # at once; a connection that is not answered blocks for minutes


class _Notice(NamedTuple):
    id: int
    pid: int
    name: str
    arguments: tuple[int, ...]


class Supervisor:
    """Supervises all processes that are sealed with ``listener``, in its own thread.

    ``fork_server_pid`` is the process that was sealed first; the others are its children. No process may connect to
    ``forbidden``, an address ``host:port``.
    """

    def __init__(self, listener: int, *, fork_server_pid: int, forbidden: str | None) -> None:
        self._listener = listener
        self._fork_server_pid = fork_server_pid
        self._forbidden = ForbiddenAddress(forbidden)
        self._processes_forbidden = False
        self._machine = this_machine()
        self._connects = threading.BoundedSemaphore(_CONNECTS_MAX)
        threading.Thread(target=self._serve, name="s3mr-supervisor", daemon=True).start()

    def forbid_processes(self) -> None:
        """Forbid new processes, except by the fork server."""
        self._processes_forbidden = True

    def allow_processes(self) -> None:
        """Allow new processes."""
        self._processes_forbidden = False

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
                    self._handle(notice)
        finally:
            os.close(self._listener)  # without a supervisor, all supervised calls fail

    def _receive(self) -> _Notice:
        buffer = bytearray(_NOTICE.size)  # the kernel requires zeros
        fcntl.ioctl(self._listener, _RECEIVE, buffer)
        number, pid, _, call_number, _, _, *arguments = _NOTICE.unpack(buffer)
        return _Notice(number, pid, self._machine.name(call_number), tuple(arguments))

    def _handle(self, notice: _Notice) -> None:
        """Answer at once, or in a thread if it is a connection, which may take long."""
        if notice.name != "connect":
            self._answer(notice, errno_or_zero=self._check(notice))
        elif not self._connects.acquire(blocking=False):
            self._answer(notice, errno_or_zero=errno.EAGAIN)
        else:
            try:
                threading.Thread(target=self._connect, args=(notice,), name="s3mr-connect", daemon=True).start()
            except RuntimeError:  # too many threads
                self._connects.release()
                self._answer(notice, errno_or_zero=errno.EAGAIN)

    def _check(self, notice: _Notice) -> int:
        """Return the errno for a call, or 0 if it is allowed."""
        try:
            return 0 if self._is_allowed(notice) else errno.EPERM
        except ProcessLookupError:
            return errno.ESRCH

    def _is_allowed(self, notice: _Notice) -> bool:
        first, second = (ctypes.c_int(one).value for one in notice.arguments[:2])
        match notice.name:
            case "clone" | "fork" | "vfork":
                return not self._processes_forbidden or notice.pid == self._fork_server_pid
            case "setpriority":
                return first == 0 and self._is_below(second)
            case "ioprio_set":
                return first == 1 and self._is_below(second)
            case "kill" if first < 0:
                return first != -1 and self._is_group_below(-first)
            case _:
                return self._is_below(first)

    def _is_below(self, pid: int) -> bool:
        """Whether a process or thread is supervised, and is not the fork server."""
        own = os.getpid()
        seen = process(_process_of(pid))
        if seen is None or seen.pid in (own, self._fork_server_pid):
            return False
        while seen is not None and seen.parent > 1:
            if seen.parent == own:
                return True
            seen = process(seen.parent)
        return False

    def _is_group_below(self, group: int) -> bool:
        """Whether a process group has supervised members. It has no others then: a group belongs to one session."""
        if group in (os.getpgrp(), os.getpgid(self._fork_server_pid)):
            return False
        return any(one.group == group for one in descendants(os.getpid()))

    def _connect(self, notice: _Notice) -> None:
        try:
            self._answer(notice, errno_or_zero=self._connect_for(notice), done=True)
        finally:
            self._connects.release()

    def _connect_for(self, notice: _Notice) -> int:
        """Connect the caller's socket, and return the errno, or 0."""
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
            if self._forbidden.matches(address):
                return errno.EACCES
            address = _absolute(notice.pid, address)
            failed = LIBC.connect(theirs, address, len(address)) < 0
            return ctypes.get_errno() if failed else 0
        except OSError as error:
            return error.errno or errno.EPERM
        finally:
            os.close(theirs)

    def _descriptor(self, pid: int, descriptor: int) -> int:
        """Return our own descriptor for the open file of another process."""
        held = os.pidfd_open(_process_of(pid))
        try:
            return call(self._machine.numbers.pidfd_getfd, held, descriptor, 0)
        finally:
            os.close(held)

    def _answer(self, notice: _Notice, *, errno_or_zero: int, done: bool = False) -> None:
        """Make the call fail, or continue, or return success because it is ``done``."""
        flags = 0 if errno_or_zero or done else _CONTINUE
        with contextlib.suppress(FileNotFoundError):  # the process has died meanwhile
            fcntl.ioctl(self._listener, _SEND, _ANSWER.pack(notice.id, 0, -errno_or_zero, flags))


class ForbiddenAddress:
    """An address, ``host:port``, to which no sealed process may connect, at any address of this machine."""

    def __init__(self, address: str | None) -> None:
        host, _, port = (address or "").rpartition(":")
        self._port = int(port) if port.isdecimal() else None
        self._addresses = set()
        if self._port is not None:
            with contextlib.suppress(OSError):  # an unknown name: then only its port on this machine is forbidden
                self._addresses = {str(one[4][0]) for one in socket.getaddrinfo(host.strip("[]"), self._port)}

    def matches(self, address: bytes) -> bool:
        """Whether a ``struct sockaddr`` is this address."""
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
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True


def _process_of(pid: int) -> int:
    """Return the id of a thread's process.

    Raises:
        ProcessLookupError: there is no such thread.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None
    return next(int(line.split()[1]) for line in lines if line.startswith("Tgid:"))


def _memory(pid: int, start: int, length_bytes: int) -> bytes:
    """Return a copy of a part of a process' memory.

    Raises:
        OSError: the process has no memory at that address.
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


def _absolute(pid: int, address: bytes) -> bytes:
    """Return ``address`` with the path of a socket file made absolute. It may be relative to the process' folder.

    Raises:
        OSError: the absolute path is too long.
    """
    if len(address) <= _FAMILY.size or _FAMILY.unpack_from(address)[0] != socket.AF_UNIX:
        return address
    path = address[_FAMILY.size :].split(b"\0")[0]
    if not path or path.startswith(b"/"):  # empty for an abstract socket name, which is not a file
        return address
    path = os.fsencode(Path(f"/proc/{pid}/cwd").readlink() / os.fsdecode(path))
    if len(path) > _PATH_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return address[: _FAMILY.size] + path

"""Make system calls that Python does not offer, by number. For Linux on x86-64 and arm64.

Sources: the kernel's ``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``.
"""

import ctypes
import errno
import os
import platform
from dataclasses import dataclass, fields
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of each call; -1 if this architecture does not have it."""

    add_key: int
    bpf: int
    capset: int
    clone: int
    connect: int
    fcntl: int
    fork: int
    ioctl: int
    ioprio_set: int
    keyctl: int
    kill: int
    msgget: int
    prlimit64: int
    process_vm_readv: int
    process_vm_writev: int
    ptrace: int
    request_key: int
    rt_sigqueueinfo: int
    rt_tgsigqueueinfo: int
    sched_setaffinity: int
    sched_setattr: int
    sched_setparam: int
    sched_setscheduler: int
    seccomp: int
    semget: int
    sendmmsg: int
    sendmsg: int
    sendto: int
    setns: int
    setpriority: int
    shmget: int
    tgkill: int
    tkill: int
    unshare: int
    vfork: int
    pidfd_send_signal: int = 424
    io_uring_setup: int = 425
    pidfd_open: int = 434
    clone3: int = 435
    pidfd_getfd: int = 438


_X86_64: Final = Numbers(
    add_key=248,
    bpf=321,
    capset=126,
    clone=56,
    connect=42,
    fcntl=72,
    fork=57,
    ioctl=16,
    ioprio_set=251,
    keyctl=250,
    kill=62,
    msgget=68,
    prlimit64=302,
    process_vm_readv=310,
    process_vm_writev=311,
    ptrace=101,
    request_key=249,
    rt_sigqueueinfo=129,
    rt_tgsigqueueinfo=297,
    sched_setaffinity=203,
    sched_setattr=314,
    sched_setparam=142,
    sched_setscheduler=144,
    seccomp=317,
    semget=64,
    sendmmsg=307,
    sendmsg=46,
    sendto=44,
    setns=308,
    setpriority=141,
    shmget=29,
    tgkill=234,
    tkill=200,
    unshare=272,
    vfork=58,
)
_ARM64: Final = Numbers(
    add_key=217,
    bpf=280,
    capset=91,
    clone=220,
    connect=203,
    fcntl=25,
    fork=-1,
    ioctl=29,
    ioprio_set=30,
    keyctl=219,
    kill=129,
    msgget=186,
    prlimit64=261,
    process_vm_readv=270,
    process_vm_writev=271,
    ptrace=117,
    request_key=218,
    rt_sigqueueinfo=138,
    rt_tgsigqueueinfo=240,
    sched_setaffinity=122,
    sched_setattr=274,
    sched_setparam=118,
    sched_setscheduler=119,
    seccomp=277,
    semget=190,
    sendmmsg=269,
    sendmsg=211,
    sendto=206,
    setns=268,
    setpriority=140,
    shmget=194,
    tgkill=131,
    tkill=130,
    unshare=97,
    vfork=-1,
)
_AUDIT_ARCH_X86_64: Final = 0xC000003E
_AUDIT_ARCH_AARCH64: Final = 0xC00000B7


@dataclass(frozen=True, slots=True)
class Machine:
    """What a filter of system calls must know about an architecture."""

    audit_arch: int
    numbers: Numbers

    def name(self, number: int) -> str:
        """Return the name of a call that `Numbers` lists."""
        return next(one.name for one in fields(self.numbers) if getattr(self.numbers, one.name) == number)


MACHINES: Final = {
    "x86_64": Machine(_AUDIT_ARCH_X86_64, _X86_64),
    "aarch64": Machine(_AUDIT_ARCH_AARCH64, _ARM64),
}


def this_machine() -> Machine:
    """Return the architecture of this machine.

    Raises:
        OSError: the architecture is not supported, or this is not Linux.
    """
    found = MACHINES.get(platform.machine()) if platform.system() == "Linux" else None
    if found is None:
        raise OSError(errno.ENOSYS, f"system calls of {platform.system()} on {platform.machine()} are not supported")
    return found


def call(number: int, *arguments: Any) -> int:  # noqa: ANN401 - numbers and ctypes' pointers
    """Make a system call.

    Raises:
        OSError: the call failed.
    """
    return checked(LIBC.syscall(ctypes.c_long(number), *arguments), f"system call {number}")


def prctl(option: int, *values: int) -> None:
    """Change a property of this process.

    Raises:
        OSError: the system refuses.
    """
    checked(LIBC.prctl(option, *map(ctypes.c_ulong, (*values, 0, 0, 0, 0)[:4])), f"prctl({option}, {values})")


def checked(result: int, what: str) -> int:
    """Return the result of a call of the C library.

    Raises:
        OSError: the call failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(result)


LIBC: Final = ctypes.CDLL(None, use_errno=True)

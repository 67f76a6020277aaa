"""Seal user code: forbid system calls to a process and all its descendants. Only for Linux.

The seal is a seccomp filter. It needs no privileges, and a sealed process cannot remove it. The filter refuses some
calls. It passes others to a supervisor outside (`s3mr.processes.syscall_supervisor`): calls that connect, and calls
that reach another process by its id. Only the supervisor can read an address in memory, or look up a process' parents.

Sources: seccomp(2), seccomp_unotify(2), capabilities(7); the kernel's ``include/uapi/linux/seccomp.h``.
"""

import ctypes
import errno
import struct
from collections.abc import Iterator
from typing import Final

from s3mr.processes.syscalls import Machine, call, prctl, this_machine

_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITIES_VERSION_3: Final = 0x20080522
_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3

_ALLOW: Final = 0x7FFF0000
_SUPERVISE: Final = 0x7FC00000
_KILL: Final = 0x80000000
_REFUSE: Final = 0x00050000  # with an errno

# Opcodes of filter instructions.
_LOAD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_JUMP_IF_SET: Final = 0x45
_RETURN: Final = 0x06
_NUMBER_AT: Final = 0
_ARCH_AT: Final = 4
_ARGUMENTS_AT: Final = 16

_X32: Final = 0x40000000  # on x86-64, every call exists also with this bit, for 32-bit pointers
_MSG_FASTOPEN: Final = 0x20000000  # a send that also connects
_CLONE_THREAD: Final = 0x00010000
_CLONE_NAMESPACES: Final = 0x7E020000
_SET_OWNER: Final = (8, 15)  # F_SETOWN and F_SETOWN_EX: set the process that gets a file's signals
_SET_OWNER_BY_IOCTL: Final = (0x8901, 0x8902)  # FIOSETOWN and SIOCSPGRP: the same

_Block = list[tuple[int, int, int, int]]


def seal() -> int:
    """Seal this process, which must have only one thread, and return the descriptor for its supervisor.

    It also drops all capabilities, so that a process of root has no special privileges.

    Raises:
        OSError: the system does not support this, or refuses.
    """
    machine = this_machine()
    program = b"".join(struct.pack("<HBBI", *one) for one in filter_program(machine))
    held = ctypes.create_string_buffer(program)
    prctl(_SET_NO_NEW_PRIVS, 1)
    header = struct.pack("<Ii", _CAPABILITIES_VERSION_3, 0)
    call(machine.numbers.capset, header, bytes(24))
    length_at_pointer = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(held))
    return call(machine.numbers.seccomp, _SET_MODE_FILTER, _NEW_LISTENER, length_at_pointer)


def filter_program(machine: Machine) -> _Block:
    """Return the filter's instructions for a processor."""
    program: _Block = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_JUMP_IF_EQUAL, 1, 0, machine.audit_arch),
        (_RETURN, 0, 0, _KILL),  # the numbers of calls are those of one architecture
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
    ]
    for number, block in _rules(machine):
        if number >= 0:
            program += [(_JUMP_IF_EQUAL, 0, len(block), number), *block]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _rules(machine: Machine) -> Iterator[tuple[int, _Block]]:
    calls = machine.numbers
    for number in (calls.connect, calls.fork, calls.vfork, calls.tkill, calls.tgkill):
        yield number, [(_RETURN, 0, 0, _SUPERVISE)]
    for number in (calls.rt_sigqueueinfo, calls.rt_tgsigqueueinfo):
        yield number, [(_RETURN, 0, 0, _SUPERVISE)]
    # 0 is the process itself, or its group; any other id may be another process.
    for number in (calls.kill, calls.prlimit64, calls.sched_setaffinity, calls.sched_setattr):
        yield number, _if_zero(0)
    for number in (calls.sched_setparam, calls.sched_setscheduler):
        yield number, _if_zero(0)
    for number in (calls.setpriority, calls.ioprio_set):
        one_process = int(number == calls.ioprio_set)  # value of argument 0 if argument 1 is a process id
        yield (
            number,
            [
                (_LOAD, 0, 0, _argument(0)),
                (_JUMP_IF_EQUAL, 0, 4, one_process),
                *_if_zero(1),
                (_RETURN, 0, 0, _SUPERVISE),
            ],
        )
    yield calls.clone, _cloning()
    yield calls.clone3, _refusing(errno.ENOSYS)  # a filter cannot read its flags; the C library uses clone instead
    for number, argument in ((calls.sendto, 3), (calls.sendmsg, 2), (calls.sendmmsg, 3)):
        yield number, [(_LOAD, 0, 0, _argument(argument)), *_unless_set(_MSG_FASTOPEN, errno.EOPNOTSUPP)]
    for number, commands in ((calls.fcntl, _SET_OWNER), (calls.ioctl, _SET_OWNER_BY_IOCTL)):
        one, other = commands
        yield (
            number,
            [
                (_LOAD, 0, 0, _argument(1)),
                (_JUMP_IF_EQUAL, 2, 0, one),
                (_JUMP_IF_EQUAL, 1, 0, other),
                (_RETURN, 0, 0, _ALLOW),
                *_refusing(errno.EPERM),
            ],
        )
    reaching = (calls.ptrace, calls.process_vm_readv, calls.process_vm_writev, calls.pidfd_getfd)
    for number in (*reaching, calls.pidfd_send_signal, calls.bpf, calls.unshare, calls.setns):
        yield number, _refusing(errno.EPERM)
    # Objects that persist after all their processes have ended; and io_uring, which bypasses this filter.
    persistent = (calls.shmget, calls.semget, calls.msgget, calls.add_key, calls.request_key, calls.keyctl)
    for number in (*persistent, calls.io_uring_setup):
        yield number, _refusing(errno.ENOSYS)


def _argument(number: int) -> int:
    """Return the offset of an argument's lower half. Process ids, commands and flags have no upper half."""
    return _ARGUMENTS_AT + 8 * number


def _refusing(number: int) -> _Block:
    return [(_RETURN, 0, 0, _REFUSE | number)]


def _if_zero(argument: int) -> _Block:
    return [
        (_LOAD, 0, 0, _argument(argument)),
        (_JUMP_IF_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _SUPERVISE),
    ]


def _unless_set(flags: int, number: int) -> _Block:
    return [(_JUMP_IF_SET, 1, 0, flags), (_RETURN, 0, 0, _ALLOW), *_refusing(number)]


def _cloning() -> _Block:
    """Allow threads, supervise new processes, and refuse namespaces, which would hide processes."""
    return [
        (_LOAD, 0, 0, _argument(0)),
        (_JUMP_IF_SET, 3, 0, _CLONE_NAMESPACES),
        (_JUMP_IF_SET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _SUPERVISE),
        *_refusing(errno.EPERM),
    ]

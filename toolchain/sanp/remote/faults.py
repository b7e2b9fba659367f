"""Sentences about what goes wrong between here and a board: what was found, what was expected, what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sanp.settings.remote import RemotePart
from sanp_targets.errors import InputError, SanpError, TargetError

_SSH_FAILED = 255  # of ssh itself; other codes are those of the command on the board
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126

# What ssh says -> (what was found, what to do). The first that fits.
_SAID = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed",
        "its host key is another one than ssh knows",
        "find out why; if the board was installed anew, remove the old key with `ssh-keygen -R HOST` and connect once "
        "by hand",
    ),
    (
        r"Host key verification failed|No .*host key is known",
        "its host key is not known",
        "connect once by hand with `SSH HOST`, compare the fingerprint with that of the board, and accept it",
    ),
    (
        r"Permission denied",
        "it refused the login",
        "let `SSH HOST` work without a password: `ssh-copy-id HOST`, or name the key in ~/.ssh/config",
    ),
    (r"Could not resolve hostname", "there is no such name", "correct --host, or add the board to ~/.ssh/config"),
    (
        r"Connection refused|timed out|No route to host|unreachable",
        "it does not answer",
        "check that the board is on and that `SSH HOST` works",
    ),
)


def not_started(remote: RemotePart, code: int | None, said: Sequence[str]) -> SanpError:
    """ssh or Python ended before the board answered. code: None if nothing ended and nothing came."""
    last = _last(said)
    if code is None:
        return TargetError(
            f"{remote.host}: did not answer in time{last}, expected a connection; check that `{_by_hand(remote)}` works"
        )
    if code == _SSH_FAILED:
        for pattern, found, cure in _SAID:
            if re.search(pattern, "\n".join(said), re.IGNORECASE):
                step = cure.replace("SSH", remote.ssh).replace("HOST", str(remote.host))
                return TargetError(f"{remote.host}: {found}{last}, expected a connection without questions; {step}")
        return TargetError(
            f"{remote.host}: ssh could not connect{last}, expected a connection without questions; check that "
            f"`{_by_hand(remote)}` works"
        )
    if code in (_NOT_FOUND, _NOT_EXECUTABLE):
        return TargetError(
            f"{remote.host}: has no {remote.board_python!r} that can be run{last}, expected Python 3.8 or newer; "
            "install it there, or name it with --board-python"
        )
    return TargetError(
        f"{remote.host}: {remote.board_python!r} ended with {code} before it answered{last}, expected Python 3.8 or "
        f"newer; check that `{_by_hand(remote)} {remote.board_python} -V` works"
    )


def no_ssh(remote: RemotePart, error: OSError) -> SanpError:
    """The ssh command itself cannot be run."""
    return TargetError(
        f"{remote.ssh!r} cannot be run ({error.strerror or error}), expected OpenSSH's client; install it "
        "(`apt install openssh-client`), or name it with --ssh"
    )


def lost(remote: RemotePart, doing: str, said: Sequence[str], silent_s: float | None = None) -> SanpError:
    """The connection ended, or nothing was heard for some seconds, in the middle of something."""
    found = "the connection was lost" if silent_s is None else f"nothing was heard for {silent_s:g} s"
    return TargetError(
        f"{remote.host}: {found} while {doing}{_last(said)}, expected it to last; the board stops what it was doing "
        "and keeps the files that arrived: run the command again, and it goes on from there"
    )


def of_board(remote: RemotePart, fault: Mapping[str, Any]) -> SanpError:
    """What the board's side said, as `sanp_runtime.board.faults` has it."""
    kind, host = fault.get("kind"), remote.host
    if kind == "python":
        return TargetError(
            f"{host}: {remote.board_python!r} is Python {fault.get('version')}, expected 3.8 or newer; name a newer "
            "one with --board-python"
        )
    if kind == "system":
        return TargetError(f"{host}: runs {fault.get('system')}, expected Linux; use a board with Linux")
    if kind == "busy":
        who = f"process {fault.get('pid')} of {fault.get('user')}" if fault.get("pid") else "another run"
        return TargetError(
            f"{host}: is in use by {who}, expected a board to itself, because two runs would measure each other; wait "
            "until that one has ended, which takes minutes if it was cut off and sets clocks and power mode back"
        )
    if kind == "full":
        return full(remote, str(fault.get("folder")), int(fault.get("needed", 0)), int(fault.get("free", -1)))
    if kind == "folder":
        return TargetError(
            f"{host}: {fault.get('folder')} cannot be used ({fault.get('reason')}), expected a folder that can be "
            "written; choose another one with --board-folder"
        )
    if kind == "timeout":
        return TargetError(
            f"{host}: the command did not end in {fault.get('seconds'):g} s and was stopped, expected it to; allow "
            "more with --board-timeout, or ask for less"
        )
    if kind == "start":
        return TargetError(
            f"{host}: {fault.get('command')!r} cannot be run ({fault.get('reason')}), expected Python; name one with "
            "--board-python"
        )
    return InputError(
        f"{host}: the board's side did not understand a message ({fault.get('text')}), expected it to; this is a bug, "
        "please report it"
    )


def full(remote: RemotePart, folder: str, needed: int, free: int) -> SanpError:
    """There is no room for what has to be sent."""
    there = f", {megabytes(free)} free" if free >= 0 else ""
    return TargetError(
        f"{remote.host}: the disk of {folder} is full ({megabytes(needed)} to write{there}), expected room for the "
        f"bundle; free some there (`rm -r {folder}/objects` removes what earlier runs left), or choose another place "
        "with --board-folder"
    )


def megabytes(size: int) -> str:
    """Bytes for a person."""
    return f"{size / 1e6:.1f} MB"


def _by_hand(remote: RemotePart) -> str:
    return f"{remote.ssh} {remote.host}"


def _last(said: Sequence[str]) -> str:
    """The last line that ssh or the board wrote to standard error, in brackets."""
    line = next((line.strip() for line in reversed(said) if line.strip()), "")
    return f" ({line[:300]})" if line else ""

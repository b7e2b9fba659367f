"""A real sshd on the loopback: own port, host key, client configuration and lock; skips where there is none."""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
SetEnv SANP_BOARD_LOCK={name}
"""
_CLIENT = """
Host *
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
"""


@dataclass(frozen=True)
class LoopbackSshd:
    """pid: of the listening process; folder: of its keys and files."""

    folder: Path
    pid: int
    port: int

    @property
    def ssh(self) -> str:
        """The ssh command that reaches it, under any host name."""
        return f"ssh -F {self.folder}/ssh_config"

    def sessions(self) -> list[int]:
        """Processes of sshd that serve a connection now."""
        return [pid for pid in children(self.pid) if alive(pid)]

    def drop(self) -> None:
        """Cut every connection without a goodbye."""
        for pid in self.sessions():
            for one in (pid, *children(pid)):
                if "sshd" in command_of(one):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)


def start(folder: Path) -> Iterator[LoopbackSshd]:
    """A server that runs until the generator goes on."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd: apt-get install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root wants it, and only a service would have made it
    for name in ("host_key", "user_key"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(_SERVER.format(port=port, folder=folder, name=f"tests-{os.getpid()}"))
    (folder / "ssh_config").write_text(_CLIENT.format(port=port, folder=folder, user=getpass.getuser()))
    kind, key = (folder / "host_key.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    log = (folder / "sshd.log").open("w")
    command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
    server = subprocess.Popen(command, stderr=log, preexec_fn=_end_with_parent)  # noqa: PLW1509
    try:
        _wait_for(port, server, folder / "sshd.log")
        yield LoopbackSshd(folder, server.pid, port)
    finally:
        server.terminate()
        server.wait()
        log.close()


def _end_with_parent() -> None:
    """A test process that is killed stops no fixture, and its server would listen for ever."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.skip(f"sshd does not start here: {log.read_text()[-300:]}")


def children(pid: int) -> list[int]:
    """Processes that a process started, and theirs."""
    try:
        direct = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [found for one in direct for found in (one, *children(one))]


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def command_of(pid: int) -> str:
    """The command line of a process, empty if it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""

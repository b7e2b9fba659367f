"""One command on the board in a process group of its own, which ends with the connection."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from sanp_runtime.board.faults import Fault

# Between the request to stop and the end by force, for a command that has nothing of the machine to set back.
GRACE_S = 10.0

_POLL_S = 0.05


class Job:
    """A command that runs. python: words of a shell that start Python; arguments: what follows.

    said: called with every line of standard error. grace_s: seconds between the request to stop and the end by force.
    Raises Fault "start" if there is no such program.
    """

    def __init__(
        self,
        python: str,
        arguments: Sequence[str],
        folder: Path,
        env: Dict[str, str],
        said: Callable[[str], None],
        grace_s: float = GRACE_S,
    ) -> None:
        # By a shell, because these are the words that a person typed; exec, so that it is no process of its own.
        line = ["/bin/sh", "-c", f'exec {python} "$@"', "sh", *arguments]
        try:
            self._process = subprocess.Popen(
                line,
                cwd=str(folder),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Fault("start", command=python, reason=error.strerror or str(error)) from error
        self._said, self._grace_s = said, grace_s
        self._output: List[bytes] = []
        self._readers = [threading.Thread(target=target, daemon=True) for target in (self._read_output, self._hear)]
        for reader in self._readers:
            reader.start()

    def wait(self, timeout_s: float) -> int:
        """The exit code, negative for a signal; Fault "timeout" after stopping it if it takes longer."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Fault("timeout", seconds=timeout_s) from None
        self._kill(signal.SIGKILL)  # what it started and left behind, which would also keep the pipes open
        for reader in self._readers:
            reader.join()
        return code

    def output(self) -> bytes:
        """Everything from standard output; complete after `wait`."""
        return b"".join(self._output)

    def stop(self) -> None:
        """Ask the whole group to stop as Ctrl-C does, then end it by force. Nothing of it runs afterwards."""
        self._kill(signal.SIGINT)
        end = time.monotonic() + self._grace_s
        while time.monotonic() < end and self._process.poll() is None:
            time.sleep(_POLL_S)
        self._kill(signal.SIGKILL)
        self._process.wait()

    def _kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read_output(self) -> None:
        stream = self._process.stdout
        for chunk in iter(lambda: stream.read(1 << 16) if stream else b"", b""):
            self._output.append(chunk)

    def _hear(self) -> None:
        for line in self._process.stderr or ():
            self._said(line.decode("utf-8", "replace").rstrip("\r\n"))


def environment(code: Path, temporary: Path, inherited: Optional[str]) -> Dict[str, str]:
    """Variables of a command: our packages before what the board has, and temporary files where the run ends."""
    path = [str(code)] + ([inherited] if inherited else [])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "TMPDIR": str(temporary),
    }

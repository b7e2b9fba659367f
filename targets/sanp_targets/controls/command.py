"""Run a tool that changes the machine: found on the path or where Jetsons have it, as root where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import List, Optional

from sanp_targets.errors import TargetError

# An ordinary user of a Jetson has these not on the path.
_FOLDERS = os.pathsep.join(("/usr/sbin", "/usr/bin"))
TIMEOUT_S = 60.0


def find(name: str) -> Optional[str]:
    """Where the tool is; None if it is not installed."""
    return shutil.which(name) or shutil.which(name, path=_FOLDERS)


def run(line: List[str]) -> str:
    """Standard output of a command; TargetError with what it said if it fails or takes more than a minute.

    Nothing is typed into it: a tool that asks for a confirmation gets none. Without being root `sudo` is used, if it
    needs no password.
    """
    sudo = find("sudo") if os.geteuid() != 0 else None
    whole = [sudo, "-n", *line] if sudo is not None else line
    try:
        # In a session of its own: a signal to the whole group, as Ctrl-C is one, must not end it half-way.
        done = subprocess.run(
            whole,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetError(f"{' '.join(line)} did not run ({error}), expected it to; run it by hand as root") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        why = said[-1] if said else f"exit code {done.returncode}"
        raise TargetError(f"{' '.join(line)} failed ({why:.200}), expected it to work; run this command as root")
    return done.stdout

"""Fix the clocks of a Jetson, those of the GPU and the memory included, at the highest that its power mode allows."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Callable, Tuple

from sanp_targets.controls.command import find, run
from sanp_targets.errors import TargetError

TOOL = "jetson_clocks"

# Where what was stored outlives this process, a restart, and a run over SSH, whose TMPDIR is removed with it.
_PLACES = ("/var/tmp", "~")


def change() -> Tuple[Callable[[], None], Callable[[], None]]:
    """Functions that fix the clocks, and set them back as they are now; both raise TargetError if the tool fails.

    What was is stored now, in a file of a new folder: the tool would not write over one that exists. Where it cannot be
    set back, that file stays and the error names it.
    """
    folder = _new_folder()
    stored, tool = folder / "stored", str(find(TOOL))
    try:
        run([tool, "--store", str(stored)])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

    def back() -> None:
        try:
            run([tool, "--restore", str(stored)])
        except TargetError as error:
            raise TargetError(
                f"{error}: `sudo {TOOL} --restore {stored}`; that file has the clocks of before"
            ) from error
        shutil.rmtree(folder, ignore_errors=True)

    return lambda: _fix(tool), back


def _fix(tool: str) -> None:
    run([tool])


def _new_folder() -> Path:
    for place in _PLACES:
        try:
            return Path(tempfile.mkdtemp(prefix="sanp-clocks-", dir=str(Path(place).expanduser())))
        except (OSError, RuntimeError):  # no room, no home
            continue
    raise TargetError(
        f"no file can be written in {' or '.join(_PLACES)}, expected room there for the clocks as they are, so that "
        "they can be set back; free some, or measure without --fix-clocks"
    )

"""Fix the clocks of a Jetson, those of the GPU and the memory included, at the highest that its power mode allows."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Callable, Tuple

from sanp_targets.controls.command import find, run

TOOL = "jetson_clocks"


def change() -> Tuple[Callable[[], None], Callable[[], None]]:
    """Functions that fix the clocks, and set them back as they are now; both raise TargetError if the tool fails.

    What was is stored now, in a file of a new folder: the tool would not write over one that exists.
    """
    folder = Path(tempfile.mkdtemp(prefix="sanp-clocks-"))
    stored, tool = folder / "stored", str(find(TOOL))
    try:
        run([tool, "--store", str(stored)])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

    def back() -> None:
        run([tool, "--restore", str(stored)])
        shutil.rmtree(folder, ignore_errors=True)  # kept if that failed: whoever mends it needs the file

    return lambda: _fix(tool), back


def _fix(tool: str) -> None:
    run([tool])

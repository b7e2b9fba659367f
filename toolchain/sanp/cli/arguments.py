"""Arguments that several verbs share, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Bundle = Annotated[Path, typer.Argument(help="Bundle written by `sanp compile`.")]
Checkpoint = Annotated[Path, typer.Argument(help="Checkpoint written by `sanp train`.")]

"""Options that several verbs share, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file with a section per verb; flags override it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads of the engine. [default: 1]")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of the data set's files, for sets that are not bundled.")
]

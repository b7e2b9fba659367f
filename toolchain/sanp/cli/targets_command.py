"""`sanp targets`: which targets there are, what is known about one, and which of them fit a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sanp.cli.console import out, print_json, styled, table
from sanp.cli.verb import verb
from sanp.settings.base import Settings

# Keys of a probe that a person asks for, in this order.
_SHOWN = (
    ("board", "board"),
    ("processor", "cpu_model"),
    ("architecture", "arch"),
    ("instructions", "isa"),
    ("cores", "cores"),
    ("governor", "governor"),
    ("power mode", "power_mode"),
    ("limit of the container", "cpu_limit"),
    ("memory in MB", "memory_mb"),
    ("virtual", "virtual"),
    ("system", "os"),
    ("Jetson Linux", "l4t"),
    ("JetPack", "jetpack"),
    ("TensorRT", "tensorrt"),
    ("trtexec", "trtexec"),
    ("CUDA", "cuda"),
    ("GPUs", "gpus"),
)


@verb()
def targets(
    action: Annotated[str, typer.Argument(metavar="list|show|probe", help="What to do.")],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Target or TOML file to show.")] = None,
    root: Annotated[
        Path, typer.Option("--root", metavar="<path>", help="Folder with /proc, /sys, /etc and /usr to probe.")
    ] = Path("/"),
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """List the targets, show one with the sources of its numbers, or probe a machine for those that fit it.

    Files of your own are read from $XDG_CONFIG_HOME/sanp/targets; --target takes the path of one, too.

    Example: sanp targets probe
    """
    from sanp.pipeline.targets import targets as run

    found = run(action, name, root)
    if as_json:
        print_json(found)
    elif action == "list":
        rows = [[row["name"], row["backend"], row["arch"], row["description"]] for row in found["targets"]]
        out.print(table(None, [(key, "left") for key in ("target", "backend", "processor", "description")], rows))
        out.print(f"files of your own: {found['folder']}")
    elif action == "show":
        _show(found)
    else:
        _probe(found)


def _show(row: dict[str, Any]) -> None:
    out.print(styled((row["name"], "bold"), f": {row['description']}"))
    out.print(f"runs in {row['backend']} on {row['arch']}; {row['file']}")
    if row["isa"]:
        out.print(f"needs {', '.join(row['isa'])}")
    if row["boards"]:
        out.print(f"boards whose device tree has {' or '.join(row['boards'])}")
    for part in ("cpu", "gpu"):
        for key, item in (row[part] or {}).items():
            if key == "releases":
                for release in item:
                    versions = f"TensorRT {release['tensorrt']}, CUDA {release['cuda']}, Python {release['python']}"
                    out.print(f"  {release['name']}: {versions}  ({release['source']})")
            else:
                out.print(f"  {part}.{key} = {item['value']}  ({item['source']})")


def _probe(found: dict[str, Any]) -> None:
    for words, key in _SHOWN:
        if found[key] not in (None, [], {}):
            value = found[key]
            if key == "gpus":
                value = [f"{model or 'unknown model'} at {place}" for place, model in value.items()]
            out.print(f"{words}: {' '.join(value) if key == 'isa' else ', '.join(value) if key == 'gpus' else value}")
    for row in found["targets"]:
        mark = ("fits    ", "green") if row["fits"] else ("        ", "")
        out.print(styled(mark, row["name"], f"  ({row['file']})" if row["fits"] else f": {row['reason']}"))
    out.print(f"closest: {found['best'] or 'none of them'}")

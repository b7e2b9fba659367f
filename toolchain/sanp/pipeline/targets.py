"""`sanp targets`: the targets that bundles can be compiled for, and which of them fit a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanp_targets.errors import ConfigError, InputError
from sanp_targets.probe import probe
from sanp_targets.target import Target
from sanp_targets.target_files import user_folder
from sanp_targets.targets import known, resolve

ACTIONS = ("list", "show", "probe")


def targets(action: str, name: str | None = None, root: Path = Path("/")) -> dict[str, Any]:
    """JSON of an action.

    "list": `targets`, a row for each (name, backend, arch, description, file), and `folder`, where files of the user
    are. "show": all that the target `name`, which may be a file, says, with a source for each number. "probe": what
    `sanp_targets.probe.probe` finds below `root`. Raises ConfigError for another action, a missing or a needless name
    and a file of a target that cannot be used, TargetError for an unknown name, InputError for a root that is no
    folder.
    """
    if action not in ACTIONS:
        raise ConfigError(f"the action is {action!r}, expected one of {', '.join(ACTIONS)}; correct it")
    if (name is None) == (action == "show"):
        found = "without a name" if name is None else f"with the name {name!r}"
        raise ConfigError(
            f"sanp targets {action} {found}, expected {'one' if action == 'show' else 'none'}; "
            f"{'`sanp targets list` has them' if action == 'show' else 'leave it out'}"
        )
    if action == "show":
        return shown(resolve(str(name)))
    if action == "list":
        rows = known().values()
        keys = ("name", "backend", "arch", "description", "file")
        return {"targets": [{key: getattr(row, key) for key in keys} for row in rows], "folder": str(user_folder())}
    if not Path(root).is_dir():
        raise InputError(f"{root}: is no folder, expected one with /proc, /sys and /etc of a machine below it")
    return probe(tuple(known().values()), root)


def shown(target: Target) -> dict[str, Any]:
    """A target as JSON, each number as {value, source}, without what nothing is stated about."""
    row = target.to_json()
    sources = row.pop("sources")
    for part in ("cpu", "gpu"):
        numbers = {key: value for key, value in (row[part] or {}).items() if key != "releases" and value is not None}
        stated: dict[str, Any] = {
            key: {"value": value, "source": sources[f"{part}.{key}"]} for key, value in numbers.items()
        }
        if part == "gpu" and row[part] is not None:
            stated["releases"] = row[part]["releases"]
        row[part] = stated if row[part] is not None else None
    return row

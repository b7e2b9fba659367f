"""Read a result that a verb wrote with `-o` or `--json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanp_runtime.bundle.json_text import parse_json
from sanp_targets.errors import InputError


def read_result(path: Path | None) -> dict[str, Any] | None:
    """The object in a result file; InputError if it cannot be read or holds something else."""
    if path is None:
        return None
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a result file") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error}); write it again with --json or -o") from error
    if not isinstance(content, dict) or not content:
        found = "nothing" if content == {} else f"a {type(content).__name__}"
        raise InputError(f"{path}: holds {found}, expected a result object; write it again")
    return content

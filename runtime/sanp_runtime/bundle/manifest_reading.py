"""Read a manifest: JSON of this schema, undamaged, with every field of its type."""

from __future__ import annotations

import re
from typing import Any, FrozenSet, Mapping

from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.bundle.manifest import CHECKSUM, REPAIR, SCHEMA_VERSION, FileEntry, Manifest, checksum
from sanp_runtime.bundle.manifest_checks import check, fail
from sanp_runtime.bundle.manifest_options import SHOWN, first_wrong
from sanp_runtime.contract import MANIFEST_FILE
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.outputs import Output
from sanp_targets.errors import InputError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def loads(text: str) -> Manifest:
    """Parse and check the text of a manifest.

    Raises InputError if it is not JSON, of another schema, damaged (its checksum differs) or inconsistent.
    """
    try:
        row = parse_json(text)
    except ValueError as error:
        raise InputError(f"{MANIFEST_FILE} is not valid JSON ({error}); {REPAIR}") from error
    return from_json(row)


def from_json(row: Any) -> Manifest:
    """Manifest of a parsed JSON object; the checks of `loads`."""
    if not isinstance(row, dict):
        raise InputError(f"{MANIFEST_FILE} holds a {type(row).__name__}, expected a JSON object; {REPAIR}")
    version = row.get("schema_version")
    if version != SCHEMA_VERSION or type(version) is not int:
        raise InputError(_other_schema(version))
    content = {key: value for key, value in row.items() if key != CHECKSUM}
    if row.get(CHECKSUM) != checksum(content):
        raise InputError(f"{MANIFEST_FILE} does not match its own checksum, so it was damaged or edited; {REPAIR}")
    _check_fields(content)
    wrong = first_wrong(content, SHOWN)
    if wrong is not None:
        raise InputError(f"{MANIFEST_FILE}: {wrong}; {REPAIR}")
    content["layers"] = tuple(Layer.from_json(item) for item in content["layers"])
    content["files"] = {name: _file_entry(name, item) for name, item in content["files"].items()}
    content.update(outputs=tuple(map(Output.from_json, content["outputs"])), gated=tuple(content["gated"]))
    manifest = Manifest(**content)
    check(manifest)
    return manifest


def _other_schema(version: Any) -> str:
    if type(version) is not int:
        return f"{MANIFEST_FILE} has schema version {version!r}, expected the integer {SCHEMA_VERSION}; {REPAIR}"
    age, cure = ("a newer", "install it")
    if version < SCHEMA_VERSION:
        age, cure = ("an older", "compile it again from the ONNX model, or use the version that made it")
    return (
        f"{MANIFEST_FILE} has schema version {version}, expected {SCHEMA_VERSION}: the bundle was made by {age} "
        f"version of the toolchain; {cure}"
    )


def listed_files(text: str) -> FrozenSet[str]:
    """Names of the files in a manifest of any schema, itself included; InputError if it is none or was damaged.

    For whoever replaces a bundle that this version cannot read.
    """
    try:
        row = parse_json(text)
    except ValueError as error:
        raise InputError(f"{MANIFEST_FILE} is not valid JSON ({error}); {REPAIR}") from error
    if not isinstance(row, dict) or not isinstance(row.get("files"), dict) or row.get(CHECKSUM) != checksum(row):
        raise InputError(f"{MANIFEST_FILE} is no undamaged manifest of a bundle; {REPAIR}")
    return frozenset(row["files"]) | {MANIFEST_FILE}


def _check_fields(row: Mapping[str, Any]) -> None:
    kinds = {
        key: kind
        for kind, keys in (
            (str, "name created dataset"),
            (dict, "target variants input made_by device method source options build parent files"),
            (list, "outputs layers gated"),
            (int, "dense_macs schema_version"),
        )
        for key in keys.split()
    }
    if set(row) != set(kinds):
        wrong = sorted(set(row) ^ set(kinds))
        fail("fields", wrong, f"exactly {sorted(kinds)}")
    for key, kind in kinds.items():
        if type(row[key]) is not kind:
            fail(key, row[key], f"a value of type {kind.__name__}")
    if not all(isinstance(name, str) for name in row["gated"]):
        fail("gated", row["gated"], "names")


def _file_entry(name: str, item: Any) -> FileEntry:
    ok = isinstance(item, dict) and set(item) == {"size", "sha256"} and type(item["size"]) is int
    if not (ok and item["size"] >= 0 and isinstance(item["sha256"], str) and _SHA256.fullmatch(item["sha256"])):
        fail(f"files.{name}", item, "size and sha256")
    return FileEntry(item["size"], item["sha256"])

"""The parts of a manifest that are shown to people: of the types that whoever shows them reads."""

from __future__ import annotations

from typing import Any, Mapping, Optional

_NUMBER = (int, float)
_TEXT = (str,)
_MAYBE_TEXT = (str, type(None))

# A tuple is the types of a value, a dictionary the keys that must be there, {"*": ...} what every value must be.
_MACHINE = {"arch": _MAYBE_TEXT, "cpu_model": _MAYBE_TEXT, "isa": _MAYBE_TEXT}
_TUNED = {"model": _TEXT, "fastest": _TEXT, "model_ms": _NUMBER, "fastest_ms": _NUMBER}
_TUNING = {
    "machine": _MACHINE,
    "threads": (int,),
    "batch": (int,),
    "inputs": _TEXT,
    "kept": (bool,),
    "layers": {"*": _TUNED},
    "network_ms": {"?": {"model": _NUMBER, "tuned": _NUMBER}},
}
SHOWN = {
    "made_by": {"*": _TEXT},
    "options": {
        "choices?": {"*": {"plugin": (bool,), "reason": _TEXT}},
        "tuning?": _TUNING,
        "plugin_layers?": _TEXT,
        "blocks?": _TEXT,
    },
    "method": {"name?": _TEXT, "options?": {}},
    "build": {"glibc?": _MAYBE_TEXT, "sm?": (int, type(None)), "fingerprint?": {"*": (str, int, type(None))}},
    "device": {"cpu_model?": _MAYBE_TEXT, "board?": _MAYBE_TEXT, "accelerator?": {"?": {}}},
    "target": {"*": _TEXT},
    "variants": {"*": _TEXT},
}


def first_wrong(value: Any, schema: Any, place: str = "") -> Optional[str]:
    """The first place where a value is not of the schema, as "options.tuning.layers is [], expected ...", or None."""
    if isinstance(schema, tuple):
        fits = isinstance(value, schema) and (not isinstance(value, bool) or bool in schema)
        names = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in schema)
        return None if fits else f"{place} is {value!r:.100}, expected {names}"
    if "?" in schema:
        return None if value is None else first_wrong(value, schema["?"], place)
    if not isinstance(value, dict):
        return f"{place} is {value!r:.100}, expected an object"
    for key, inner in _rows(value, schema):
        name = key.rstrip("?")
        if name not in value and key.endswith("?"):
            continue
        if name not in value:
            return f"{place} has no {name}, expected one"
        wrong = first_wrong(value[name], inner, f"{place}.{name}" if place else name)
        if wrong is not None:
            return wrong
    return None


def _rows(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    return [(key, schema["*"]) for key in value] if "*" in schema else schema.items()

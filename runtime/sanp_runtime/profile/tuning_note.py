"""Where the kernels of a bundle were tuned, and whether that is this machine."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

_KEYS = ("arch", "cpu_model", "isa")


def machine(device: Mapping[str, Any], isa: Optional[str]) -> Dict[str, Any]:
    """What a choice of kernels depends on: architecture and model of the processor, instruction set of the kernels."""
    return {"arch": device.get("arch"), "cpu_model": device.get("cpu_model"), "isa": isa}


def tuning_note(options: Mapping[str, Any], device: Mapping[str, Any], isa: Optional[str]) -> Optional[str]:
    """A sentence if a bundle (its `Manifest.options`) was tuned elsewhere, else None; isa None is not compared.

    The hints stay in force there: results are the same, and a kernel that the machine lacks leaves the choice to the
    library.
    """
    there: Any = options.get("tuning")
    if not isinstance(there, dict) or not isinstance(there.get("machine"), dict):
        return None
    here, made = machine(device, isa), there["machine"]
    if all(here[key] == made.get(key) for key in _KEYS if key != "isa" or isa is not None):
        return None
    return (
        f"the kernels were tuned on {_words(made)}, this is {_words(here)}: results are right, the choice may not be "
        "the fastest; compile with --tune on this machine"
    )


def _words(row: Mapping[str, Any]) -> str:
    model = row.get("cpu_model") or f"an unknown {row.get('arch')} processor"
    return f"{model} ({row['isa']})" if row.get("isa") else str(model)

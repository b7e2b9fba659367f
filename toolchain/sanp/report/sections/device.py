"""The machine, the versions, and what was in the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import macs
from sanp_runtime.network.outputs import Output, in_words


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs of a name and a value."""
    return {"facts": _facts(results["profile"], results["bundle"])}


def _facts(profile: Mapping[str, Any], bundle: Mapping[str, Any]) -> list[tuple[str, str]]:
    device, settings, library = profile["device"], profile["settings"], profile["library"]
    shape = "×".join(str(size) for size in bundle["input"]["shape"])
    work = f"{macs(bundle['dense_macs'])} MACs{' dense' if bundle['gated'] else ''}"
    outputs = in_words([Output.from_json(row) for row in bundle["outputs"]])
    facts = {
        "device": profile["device_name"],
        "instruction sets": " ".join(device["isa"]),
        "caches": ", ".join(f"{level} {size}" for level, size in device["caches"].items()),
        "governor": device["governor"] or "not readable",
        "power mode": device["power_mode"],
        "system": ", ".join(part for part in (device["os"], device["kernel"]) if part),
        "kernels": f"library {library['version']}, {library['isa']}"
        if library and library["version"]
        else "none (standard operators)",
        "versions": ", ".join(f"{name} {version}" for name, version in profile["versions"].items()),
        "threads": f"{settings['threads']}, on processors {settings['cpus']}"
        if settings["cpus"]
        else settings["threads"],
        "samples": f"{settings['samples']} from {settings['source']}, {settings['batch']} per call",
        "samples resized to": "x".join(map(str, settings.get("size") or ())),
        "network": f"{bundle['name']}: {shape} to {outputs}, {work}",
        "data set": bundle["dataset"],
        "target": bundle["target"]["name"],
        "made with": ", ".join(f"{name} {version}" for name, version in bundle["made_by"].items()),
        "bundle content": profile["bundle"]["digest"],
        "ONNX": profile["bundle"]["onnx_sha256"][profile["main"]],
        "device identity": profile["device_id"],
    }
    return [(key, str(value)) for key, value in facts.items() if value not in (None, "")]

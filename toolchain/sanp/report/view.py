"""What the template shows, made from the results; the template itself only places it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report import plots, words
from sanp.report.words import macs, ms, percent
from sanp_runtime.contract import DENSE, GATED, OPEN

_TITLES = {DENSE: "dense", OPEN: "gated, all gates open", GATED: "gated, as trained"}
_VERDICTS = {
    "VALID": "The machine was quiet, pinned and at a fixed clock: these numbers may be quoted.",
    "UNPINNED": "Steady, but the clock or the processor was not fixed: quote these numbers with that remark.",
    "NOISY": "The machine was not quiet: do not quote these numbers, measure again.",
    "THROTTLED": "The machine slowed itself down: do not quote these numbers, cool it and measure again.",
}


def build_view(results: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of page.html.j2; KeyError if a result lacks a field."""
    from markupsafe import Markup

    def picture(svg: str | None) -> Any:
        return Markup(svg) if svg is not None else None  # made by plots.py, which escapes every word

    profile, bundle, validation = results["profile"], results["bundle"], results["validation"]
    return {
        "name": bundle["name"],
        "created": profile["created"],
        "headline": words.headline(profile),
        "explanation": words.explanation(profile),
        "break_even": words.break_even(profile),
        "accuracy": words.accuracy(results),
        "verdict": profile["validity"]["verdict"],
        "verdict_text": _VERDICTS[profile["validity"]["verdict"]],
        "reasons": profile["validity"]["reasons"],
        "notes": [*profile["validity"]["notes"], *filter(None, [profile.get("tuning_note")])],
        "evidence": _evidence(profile["validity"]["evidence"]),
        "figures": _figures(profile),
        "variants": _variants(profile),
        "p99_missing": any(row["latency"]["p99"] is None for row in profile["variants"].values()),
        "includes": profile["includes"],
        "correlation": profile["correlation"],
        "spread": words.spread(profile),
        "samples": profile["settings"]["samples"],
        "distribution_plot": picture(plots.distributions(profile)),
        "cost_plot": picture(plots.latency_against_cost(profile)),
        "zoom_plot": picture(plots.latency_against_cost_zoom(profile)),
        "layers": _layers(profile),
        "decisions_vary": any(row["varies"] for row in profile["layers"]),
        "node_times": profile["node_times"],
        "levels": _levels(validation),
        "margin_plot": picture(plots.margins(validation["L1"]["histogram"]) if validation else None),
        "flips": validation["L1"]["listed"][:20] if validation else [],
        "proof": profile["proof"],
        "training": _training(results["training"]),
        "facts": _facts(profile, bundle),
        "commands": _commands(profile, bundle),
        "ms": ms,
        "percent": percent,
    }


def _figures(profile: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    ratios, cost = profile["ratios"], profile["macs"]
    return [
        (f"{ratios['measured']:.2f}×", "measured speed-up", "dense time over gated time"),
        (f"{ratios['theoretical']:.2f}×", "less work", f"{macs(cost['dense'])} to {macs(cost['gated_mean'])} MACs"),
        (percent(ratios["efficiency"], 0), "efficiency", "measured over theoretical"),
        (f"{ratios['overhead']:.2f}×", "overhead", "all gates open over dense"),
    ]


def _variants(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    cost = profile["macs"]
    shares = {"dense": 1.0, "open": None, "gated": cost["gated_mean"] / cost["dense"]}
    rows = []
    for name, title in _TITLES.items():
        variant = profile["variants"][name]
        block = variant["latency"]
        row = {key: ms(block[key]) for key in ("p50", "p90", "p95", "p99", "min", "max", "mean")}
        row.update(name=title, key=name, count=block["count"], typical=ms(variant["typical_ms"]))
        row["macs"] = percent(shares[name], 0) if shares[name] is not None else "100% + gates"
        rows.append(row)
    return rows


def _layers(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    most = max(row["macs_dense"] for row in profile["layers"])
    rows = []
    for row in profile["layers"]:
        dense, gated = row["dense_ms"], row["gated_ms"]
        rows.append(
            {
                "name": row["name"],
                "shape": f"{row['channels'][0]} → {row['channels'][1]}, {row['kernel'][0]}×{row['kernel'][1]}, "
                f"{row['out_hw'][0]}×{row['out_hw'][1]}",
                "open": row["open_fraction"],
                "varies": row["varies"],
                "dense_width": 100 * row["macs_dense"] / most,
                "gated_width": 100 * row["macs_gated"] / most,
                "share": row["macs_gated"] / row["macs_dense"] if row["macs_dense"] else 1.0,
                "dense_ms": ms(dense),
                "open_ms": ms(row["open_ms"]),
                "gated_ms": ms(gated),
                "speed": dense / gated if dense and gated else None,
            }
        )
    return rows


def _levels(validation: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if validation is None:
        return []
    titles = {
        "L0": ("L0 replay", "PyTorch's own gates fed in: the kernels alone"),
        "L1": ("L1 gates", "the decisions that the engine takes itself"),
        "L2": ("L2 task", "accuracy on the data set"),
    }
    return [
        {"title": title, "what": what, "passed": validation[key]["passed"], "summary": validation[key]["summary"]}
        for key, (title, what) in titles.items()
    ]


def _evidence(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("drift of the dense baseline", f"{evidence['drift']:+.1%}")]
    rows += [(f"spread of {name}, p90 over median", percent(value)) for name, value in evidence["spread"].items()]
    rows.append(("lowest clock over highest", percent(evidence["clock_drop"], 0)))
    rows.append(("time stolen by the hypervisor", percent(evidence["steal"])))
    rows.append(("times preempted", "–" if evidence["preempted"] is None else str(evidence["preempted"])))
    return rows


def _training(training: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not training:
        return []
    rows = []
    for key in ("dense_accuracy", "accuracy", "cost"):
        if training.get(key) is not None:
            rows.append((key.replace("_", " "), percent(training[key], 2)))
    options = training.get("config") or {}
    return rows + [(key, str(value)) for key, value in options.items() if value is not None]


def _facts(profile: Mapping[str, Any], bundle: Mapping[str, Any]) -> list[tuple[str, str]]:
    device, settings, library = profile["device"], profile["settings"], profile["library"]
    shape = "×".join(str(size) for size in bundle["input"]["shape"])
    facts = {
        "device": profile["device_name"],
        "instruction sets": " ".join(device["isa"]),
        "caches": ", ".join(f"{level} {size}" for level, size in device["caches"].items()),
        "governor": device["governor"] or "not readable",
        "power mode": device["power_mode"],
        "system": ", ".join(part for part in (device["os"], device["kernel"]) if part),
        "kernels": f"library {library['version']}, {library['isa']}"
        if library["version"]
        else "none (standard operators)",
        "versions": ", ".join(f"{name} {version}" for name, version in profile["versions"].items()),
        "threads": f"{settings['threads']}, on processors {settings['cpus']}"
        if settings["cpus"]
        else settings["threads"],
        "samples": f"{settings['samples']} from {settings['source']}, {settings['batch']} per call",
        "network": f"{bundle['name']}: {shape} to {bundle['classes']} classes, {macs(bundle['dense_macs'])} MACs dense",
        "data set": bundle["dataset"],
        "target": bundle["target"]["name"],
        "made with": ", ".join(f"{name} {version}" for name, version in bundle["made_by"].items()),
        "bundle content": profile["bundle"]["digest"],
        "gated ONNX": profile["bundle"]["onnx_sha256"][GATED],
        "device identity": profile["device_id"],
    }
    return [(key, str(value)) for key, value in facts.items() if value not in (None, "")]


def _engine_options(bundle: Mapping[str, Any]) -> str:
    """The options that shaped TensorRT's engines, or the weights and kernels for ONNX Runtime."""
    build = bundle.get("build") or {}
    if "batch" not in build:
        tuned = " --tune" if "tuning" in bundle["options"] else ""
        return tuned + (" --bf16-weights" if "bf16_weights" in build else "")
    layers, batch = bundle["options"].get("plugin_layers", "auto"), build["batch"]
    return (
        f" --precision {build['precision']} --plugin-layers {layers}"
        f" --opt-batch {batch['opt']} --max-batch {batch['max']}"
    )


def _commands(profile: Mapping[str, Any], bundle: Mapping[str, Any]) -> list[str]:
    settings = profile["settings"]
    folder = "model.sanp"
    return [
        f"sanp compile model.onnx -o {folder} --target {bundle['target']['name']}{_engine_options(bundle)}",
        f"sanp validate {folder} --checkpoint checkpoint.safetensors --json > validation.json",
        f"sanp profile {folder} --threads {settings['threads']} --batch {settings['batch']} "
        f"--duration {settings['duration_s']:g} -o profile.json",
        f"sanp report {folder} --profile profile.json --validation validation.json -o report",
    ]

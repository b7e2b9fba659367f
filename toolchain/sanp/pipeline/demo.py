"""`sanp demo`: the whole pipeline on real digits, from an empty folder to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.outputs import check_outputs
from sanp.pipeline.profile import headline, profile_bundle
from sanp.pipeline.train import train
from sanp.pipeline.validate import validate
from sanp.report import write_report
from sanp.report.writer import DATA, PAGE
from sanp.settings.demo import DemoSettings
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ValidationError


def demo(
    folder: str | Path,
    settings: DemoSettings | None = None,
    *,
    log: Callable[[str], None] = lambda text: None,
    **keywords: Any,
) -> dict[str, Any]:
    """Train, export, compile, validate, profile and report into `folder`; returns the results of all steps.

    Settings are an object or its fields as keywords. log: called with one sentence before each step. Raises
    ValidationError, after the report has been written, if a validation level failed; a noisy machine is reported in the
    verdict and is not an error. Raises ConfigError for a folder with earlier results, unless `replace`.
    """
    folder, chosen = Path(folder), DemoSettings.chosen(settings, keywords)
    duration, replace = chosen.duration, chosen.replace
    made = ("model.onnx", "profile.json", PAGE, DATA)
    check_outputs([folder / name for name in made], replace)
    config = TrainSettings.demo()
    log(f"training {config.backbone} on {config.dataset} to {config.budget:.0%} of its MACs")
    trained = train(settings=config, output=folder / "training", replace=replace)
    log("exporting the gated ONNX model")
    model = folder / "model.onnx"
    export(trained.checkpoint, model, replace=replace)
    log("compiling for this machine and proving that every gated layer runs in our kernel")
    bundle = compile_model(model, folder / "model.sanp", replace=replace).bundle
    log("validating against PyTorch: kernels (L0), gates (L1), accuracy (L2)")
    validation = validate(bundle.path, trained.checkpoint)
    log(f"measuring dense, all-open and gated engines for {duration:g} s")
    profile = profile_bundle(bundle.path, output=folder / "profile.json", duration=duration, replace=replace)
    results = {
        "training": {
            "kind": "training",
            "dense_accuracy": trained.dense_accuracy,
            "accuracy": trained.accuracy,
            "cost": trained.cost,
            "config": config.model_dump(mode="json"),
        },
        "validation": validation.to_json(),
        "profile": profile,
        "bundle": bundle.manifest.to_json(),
    }
    page = write_report(results, folder)
    if not validation.passed:
        raise ValidationError(
            f"{', '.join(validation.failed_levels())} failed, expected all levels to pass; see {page}"
        )
    return {**results, "page": page, "headline": headline(profile), "summaries": validation.lines()}

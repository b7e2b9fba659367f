"""`sanp demo`: the whole pipeline on real digits, from an empty folder to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.int8.requirements import check_processor
from sanp.pipeline.export import export
from sanp.pipeline.outputs import check_outputs
from sanp.pipeline.profile import headline, profile_bundle
from sanp.pipeline.train import train
from sanp.pipeline.validate import validate
from sanp.report import write_report
from sanp.report.writer import FILES
from sanp.settings.demo import DemoSettings
from sanp.settings.train import TrainSettings
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, ValidationError
from sanp_targets.processor import processor


def demo(
    folder: str | Path,
    settings: DemoSettings | None = None,
    *,
    log: Callable[[str], None] = lambda text: None,
    **keywords: Any,
) -> dict[str, Any]:
    """Train, export, compile, validate, profile and report into `folder`; returns the results of all steps.

    Where the processor has products of bytes, an int8 bundle is made and measured too.

    Settings are an object or its fields as keywords. log: called with one sentence before each step. Raises
    ValidationError, after the report has been written, if a validation level failed; a noisy machine is reported in the
    verdict and is not an error. Raises ConfigError for a folder with earlier results, unless `replace`.
    """
    folder, chosen = Path(folder), DemoSettings.chosen(settings, keywords)
    duration, replace = chosen.duration, chosen.replace
    made = ("model.onnx", "profile.json", "profile-int8.json", *FILES)
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
    int8 = _int8(model, folder, chosen, log)
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
        "int8": int8,
    }
    page = write_report(results, folder)
    failed = [] if validation.passed else validation.failed_levels()
    failed += [] if int8 is None or int8["validation"]["passed"] else ["the self-test of the int8 bundle"]
    if failed:
        raise ValidationError(f"{', '.join(failed)} failed, expected all levels to pass; see {page}")
    return {**results, "page": page, "headline": headline(profile), "summaries": validation.lines()}


def _int8(model: Path, folder: Path, settings: DemoSettings, log: Callable[[str], None]) -> dict[str, Any] | None:
    """The same network as an int8 bundle, validated on its samples and measured beside float32.

    None, and a sentence, where the processor would not gain or the network would lose too much accuracy.
    """
    try:
        check_processor(processor())
        bundle = compile_model(model, folder / "model-int8.sanp", int8=True, replace=settings.replace, log=log).bundle
    except (ConfigError, ValidationError) as error:
        log(f"no int8 bundle: {error}")
        return None
    log(f"measuring int8 and float32 side by side for {settings.duration:g} s")
    place = folder / "profile-int8.json"
    profile = profile_bundle(bundle.path, output=place, duration=settings.duration, replace=settings.replace)
    return {"profile": profile, "bundle": bundle.manifest.to_json(), "validation": self_test(bundle).to_json()}

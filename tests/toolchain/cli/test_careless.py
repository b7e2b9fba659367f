"""Careless mistakes: the sentence says what was meant, not only what was wrong."""

import pytest
import torch

from sanp import checkpoint, models
from sanp.analysis.channel_use import Analysis
from sanp.methods.registry import gate, train_settings
from sanp.pipeline.analyze import analyze_checkpoint
from sanp.pipeline.inspect import inspect
from sanp.settings.toml import resolve
from sanp.settings.train import TrainSettings
from sanp_runtime.profile.text import profile_lines, require_valid
from sanp_targets.errors import ConfigError, MeasurementError
from tests.support.checkpoints import make_checkpoint


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_checkpoint(folder / "checkpoint.safetensors")
    (folder / "model.onnx").write_bytes(b"anything")
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "checkpoint.safetensors/..", "-o", "x.onnx"], "is the folder of a run, expected the checkpoint in"),
        (["export", "model.onnx", "-o", "x.onnx"], "is an exported model already"),
        (["analyze", "model.onnx"], "is an exported model already"),
        (
            ["compile", "checkpoint.safetensors", "-o", "x.sanp"],
            "is a checkpoint, expected an exported model; run `sanp",
        ),
        (["inspect", "nothing.pt"], "does not exist, expected a .safetensors checkpoint"),
    ],
)
def test_the_wrong_file_is_named_for_what_it_is(sanp, run_folder, words, said):
    verb, source, *rest = words
    place = run_folder if source.endswith("..") else run_folder / source
    done = sanp(verb, place, *rest)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize(("budget", "said"), [(35, "35 % are 0.35"), (2.5, "2.5 % are 0.025"), (100, "100 % are 1")])
def test_a_budget_in_percent(budget, said):
    with pytest.raises(ConfigError, match=f"budget is .*it is a share: {said}"):
        resolve(TrainSettings, None, {"budget": budget})


def test_a_budget_just_above_one_is_not_taken_for_percent():
    with pytest.raises(ConfigError, match=r"budget is 1\.5, .*; it is a share of the whole: 0\.35 are 35 %"):
        resolve(TrainSettings, None, {"budget": 1.5})


@pytest.mark.parametrize("budget", [-1, 0, 101])
def test_other_wrong_budgets_are_no_percentages(budget):
    with pytest.raises(ConfigError) as error:
        resolve(TrainSettings, None, {"budget": budget})
    assert "%" not in str(error.value)


def test_inspect_shows_no_raw_dictionaries(sanp, run_folder):
    done = sanp("inspect", run_folder / "checkpoint.safetensors")
    assert done.returncode == 0 and "{" not in done.stdout and "None" not in done.stdout, done.stdout
    assert "config:\n" in done.stdout and "  budget: 0." in done.stdout
    assert inspect(run_folder / "checkpoint.safetensors")["about"]["config"]["budget"] <= 1, "JSON keeps its structure"


def test_the_reasons_of_a_verdict_are_said_once():
    reason = "repeated calls of gated spread by 40% (p90 over median)"
    report = {
        "variants": {},
        "bundle": {},
        "ratios": None,
        "tuning_note": None,
        "validity": {"verdict": "NOISY", "reasons": [reason]},
    }
    with pytest.raises(MeasurementError) as error:
        require_valid(report)
    assert reason in profile_lines(report)[-1] and reason not in str(error.value) and "NOISY" in str(error.value)


def test_a_checkpoint_whose_gates_are_told_the_mode_is_analysed(tmp_path):
    sizes = {"train_size": 64, "val_size": 16, "test_size": 32}
    config = train_settings(model="m-cifarnet", width=0.25, dataset="mixcues", data_options=sizes, method="oracle")
    torch.manual_seed(0)
    model = gate(models.build("m-cifarnet", 10, 0.25), torch.zeros(1, 3, 32, 32), "oracle")
    checkpoint.save(tmp_path / "checkpoint.safetensors", model, config, num_classes=10)
    found, _ = analyze_checkpoint(tmp_path / "checkpoint.safetensors", limit=16)
    assert isinstance(found, Analysis) and len(found.cost) == 16

"""A run on a board gives what a local run gives: the same JSON, the same exit codes."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest

import sanp as package
from sanp.cli.app import main
from sanp.pipeline.on_board import profile_flags, validate_flags, validate_there
from sanp.pipeline.validate import validate_on_board
from sanp.remote.board import Board
from sanp.settings.profile import ProfileSettings
from sanp.settings.validate import ValidateSettings
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.latency.table import LatencyTable, read_table
from sanp_runtime.validate import compare
from sanp_runtime.validate.text import failed_levels, validation_lines
from sanp_targets.errors import ConfigError, InputError

# Times, and what was read while they were taken; everything else must be equal.
MEASURED = {
    "created", "variants", "ratios", "correlation", "gates", "node_times", "validity", "sensors", "elapsed_s", "ms",
    "gated_ms", "dense_ms", "open_ms", "gate_ms", "parent_ms", "settings", "device",
    "gap", "stalls", "measured_interval",
}  # fmt: skip
# Settings that only this side looks at.
HERE = {
    "allow_invalid", "replace", "remote", "baseline", "max_regression", "regression_of", "junit", "predicted_by",
    "table",  # another command, see `table_there`
}  # fmt: skip


@pytest.fixture
def sanp(capfd, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sanp", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capfd.readouterr()
        return code, out, err

    return run


def options(remote):
    return ["--host", remote.host, "--ssh", remote.ssh, "--board-python", remote.board_python, "--board-folder",
            remote.board_folder]  # fmt: skip


def keys(value, place=""):
    """Every path of keys in a JSON value; rows of a list count as one."""
    if isinstance(value, dict):
        return {f"{place}.{key}" for key in value}.union(*(keys(item, f"{place}.{key}") for key, item in value.items()))
    return set().union(*(keys(item, place + "[]") for item in value)) if isinstance(value, list) else set()


def told(value):
    """A JSON value without what was measured."""
    if isinstance(value, dict):
        return {key: told(item) for key, item in value.items() if key not in MEASURED}
    return [told(item) for item in value] if isinstance(value, list) else value


def test_profile_is_the_same_json(sanp, remote, tiny, tmp_path):
    common = [tiny, "--duration", 0.2, "--batch", 2, "--allow-invalid", "--json"]
    code, text, err = sanp("profile", *common, "-o", tmp_path / "there.json", *options(remote))
    assert code == 0, err
    there, here = json.loads(text), json.loads(sanp("profile", *common)[1])
    assert keys(there) == keys(here)
    assert told(there) == told(here)
    assert there["macs"]["gated_mean"] > 0 and there["proof"]["passed"] and len(there["layers"]) == 4
    for name in ("threads", "batch", "duration_s", "samples", "source"):
        assert there["settings"][name] == here["settings"][name]
    assert there["device"]["cores"] == here["device"]["cores"] and there["device_id"] == here["device_id"]
    assert json.loads((tmp_path / "there.json").read_text()) == there


def test_profile_for_a_person(sanp, remote, tiny):
    code, out, err = sanp("profile", tiny, "--duration", 0.1, "--allow-invalid", *options(remote))
    assert code == 0, err
    assert "gated" in out and "dense" in out


def test_every_setting_of_a_profile_is_told_or_stays_here():
    """A new setting of `sanp profile` has to reach the board, or be named above."""
    given = ProfileSettings(power_mode="15W", fix_clocks=True, energy=True, budget=0.5, budgets=True, size="24x20")
    flags = " ".join(profile_flags(given))
    for name in set(ProfileSettings.model_fields) - HERE:
        assert f"--{name.replace('_', '-')}" in flags, f"{name} does not reach the board: see profile_flags"


def test_a_latency_table_is_that_of_the_board(sanp, remote, tiny, tmp_path):
    path = tmp_path / "table.json"
    code, text, err = sanp(
        "profile", tiny, "--table", path, "--duration", 0.2, "--allow-invalid", "--json", *options(remote)
    )
    assert code == 0, err
    table = read_table(path)
    assert table == LatencyTable.from_json(json.loads(text)) and len(table.points) == 192
    table.require_network(open_bundle(tiny).manifest.layers)
    code, _, err = sanp("profile", tiny, "--table", path, "--replace", "--batch", 2, *options(remote))
    assert code == 2 and "batch is 2 with table" in err


def test_every_setting_of_a_validation_is_told_or_stays_here():
    here = {
        "limit",
        "metric",
        "data_root",
        "model",
        "model_args",
        "baseline",
        "max_regression",
        "junit",
        "replace",
        "remote",
    }
    flags = " ".join(validate_flags(ValidateSettings(max_drop=0.1)))
    for name in set(ValidateSettings.model_fields) - here:
        assert f"--{name.replace('_', '-')}" in flags, f"{name} does not reach the board: see validate_flags"


def test_too_many_threads_are_counted_on_the_board(sanp, remote, tiny):
    code, out, err = sanp("profile", tiny, "--threads", 1000, *options(remote))
    assert (code, out) == (2, "") and "board has" in err


def test_validation_is_the_same_json(remote, tiny):
    bundle = open_bundle(tiny)
    reference = bundle.reference().take([0, 2, 3])
    with Board(remote) as board:
        there = validate_there(board, bundle, reference, ValidateSettings(relative=0.5, max_drop=0.1))
    here = compare(bundle, reference, EngineOptions(), relative=0.5, max_drop=0.1).to_json()
    assert there == json.loads(json.dumps(here))
    assert there["samples"] == 3 and there["passed"] and there["proof"]["passed"]
    assert (there["L2"]["relative"], there["L2"]["max_drop"]) == (0.5, 0.1)


def test_a_level_that_fails_is_told_and_not_kept(remote, tiny):
    bundle = open_bundle(tiny)
    right = bundle.reference()
    wrong = dataclasses.replace(right, outputs={"logits": right.outputs["logits"] + 1})
    with Board(remote) as board:
        row = validate_there(board, bundle, wrong, ValidateSettings())
        assert not row["passed"] and failed_levels(row) == ["L0 replay"]
        assert "L0 replay: FAIL" in validation_lines(row)[1]


def test_a_host_in_python(remote, tiny):
    with pytest.raises(ConfigError, match=r"host is board in sanp.validate.*call sanp.validate_on_board"):
        package.validate(tiny, "none", host="board")
    with pytest.raises(ConfigError, match=r"was given no host.*call sanp.validate"):
        package.validate_on_board(tiny, "none")
    with pytest.raises(InputError, match="none"):
        package.validate_on_board(tiny, "none", ValidateSettings(remote=remote))


def test_a_metric_stays_here(remote, tiny):
    with pytest.raises(ConfigError, match="--metric json:dumps with --host"):
        validate_on_board(tiny, "none", ValidateSettings(metric="json:dumps", remote=remote))

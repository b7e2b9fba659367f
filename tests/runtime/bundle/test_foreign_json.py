"""JSON that somebody else wrote: too deep, or with junk where people look. InputError, never a crash."""

from __future__ import annotations

import copy
import json

import pytest

from sanp.pipeline.compile.plugin_choice import read_layer_times
from sanp.pipeline.inspect import inspect
from sanp.report.result_file import read_result
from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.bundle.manifest import checksum
from sanp_runtime.bundle.manifest_reading import from_json, loads
from sanp_runtime.engines.tensorrt.layers import read_layers
from sanp_runtime.engines.tensorrt.trtexec import read_times
from sanp_targets.errors import InputError

DEEP = ["[" * 100 + "]" * 100, '{"Layers":' * 900 + "1" + "}" * 900, "[" * 100_000 + "]" * 100_000]


@pytest.mark.parametrize("text", DEEP, ids=["100", "900", "100000"])
def test_deep_json_is_an_input_error_of_every_reader(tmp_path, text):
    path = tmp_path / "result.json"
    path.write_text(text)
    readers = [lambda: read_result(path), lambda: read_layer_times(path, "host"), lambda: loads(text)]
    for read in [*readers, lambda: read_layers(text), lambda: read_times(text)]:
        with pytest.raises(InputError, match="nested more than 64 levels"):
            read()
    assert parse_json("[" * 60 + "]" * 60)


TUNING = {
    "machine": {"arch": "x86_64", "cpu_model": None, "isa": "avx2"},
    "threads": 1,
    "batch": 1,
    "inputs": "real",
    "kept": True,
    "layers": {"stem": {"model": "gather", "fastest": "gather", "model_ms": 0.1, "fastest_ms": 0.1}},
    "network_ms": None,
}


def changed(bundle, key, value):
    """The manifest's JSON with one part replaced, and a right checksum."""
    row = copy.deepcopy(bundle.manifest.to_json())
    row[key] = value
    row["manifest_sha256"] = checksum(row)
    return row


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("options", {"choices": 5}, "options.choices is 5"),
        ("options", {"choices": {"stem": None}}, "options.choices.stem"),
        ("options", {"choices": {"stem": {"plugin": 1, "reason": "x"}}}, "options.choices.stem.plugin"),
        ("options", {"tuning": [1]}, "options.tuning"),
        ("options", {"tuning": dict(TUNING, layers={"stem": {"model": "gather"}})}, "has no fastest"),
        ("options", {"tuning": dict(TUNING, machine="here")}, "options.tuning.machine"),
        ("options", {"tuning": dict(TUNING, network_ms={"model": "fast"})}, "options.tuning.network_ms.model"),
        ("method", {"name": ["sanp"]}, "method.name"),
        ("made_by", {"torch": 2}, "made_by.torch"),
        ("device", {"cpu_model": 7}, "device.cpu_model"),
        ("build", {"fingerprint": {"tensorrt": [10, 3]}}, "build.fingerprint.tensorrt"),
        ("target", {"name": "host", "backend": "onnxruntime", "arch": "x86_64", "x": {}}, "target.x"),
    ],
)
def test_junk_in_a_manifest_is_refused_with_its_place(bundle, key, value, place):
    with pytest.raises(InputError, match=place.replace(".", r"\.")):
        from_json(changed(bundle, key, value))


def test_a_record_of_tuning_as_compile_writes_it_is_read(bundle):
    assert from_json(changed(bundle, "options", {"tuning": TUNING})).options["tuning"] == TUNING


def test_inspect_refuses_junk_instead_of_crashing(bundle_path):
    path = bundle_path / "manifest.json"
    row = json.loads(path.read_text())
    row["options"] = {"tuning": {"layers": 5}}
    row["manifest_sha256"] = checksum(row)
    path.write_text(json.dumps(row))
    with pytest.raises(InputError, match=r"options\.tuning has no machine"):
        inspect(bundle_path)

"""Checkpoints: round trips, and every way a file can be damaged."""

from __future__ import annotations

import json
import os
import random

import pytest
import torch

from sanp import checkpoint, models
from sanp.checkpoint import tensor_file
from sanp.methods.registry import gate, train_settings
from sanp.pruning.surgery import Keep, narrow
from sanp.training import state
from sanp_targets.errors import ConfigError, InputError
from tests.support.torch_networks import ResNet50Style

X = torch.zeros(1, 3, 16, 16)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A gated network whose weights, statistics and threshold are not the initial ones, saved."""
    torch.manual_seed(3)
    config = train_settings(width=0.05, image_size=16, hidden_min=5, data_options={"a": 1})
    model = gate(models.build("m-cifarnet", width=0.05), X, config.method, **config.options)
    model.train()(torch.randn(8, 3, 16, 16))
    model.conv0.conv.gate.threshold.fill_(0.125)
    path = tmp_path_factory.mktemp("ckpt") / "net.safetensors"
    checkpoint.save(path, model.eval(), config, metadata={"accuracy": 0.5})
    return path, model, config


def test_round_trip_keeps_outputs_config_and_metadata(small):
    path, model, config = small
    found = checkpoint.load(path)
    x = torch.randn(4, 3, 16, 16)
    assert torch.equal(found.model(x), model(x))
    assert not found.model.training
    assert found.model.gating == model.gating
    assert (found.config, found.dataset_name, found.image_size) == (config, "digits", 16)
    assert found.dataset_options == {"a": 1}
    assert found.metadata == {"accuracy": 0.5}
    assert found.example_input.shape == (1, 3, 16, 16)


def test_no_pickle_inside(small):
    data = small[0].read_bytes()
    assert b"torch" not in data[:8] and b"\x80\x02" not in data[:64]
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert set(header.pop("__metadata__")) == {"sanp", "sha256"}


def test_truncation_anywhere_is_an_input_error(small, tmp_path):
    data = small[0].read_bytes()
    broken = tmp_path / "short.safetensors"
    rng = random.Random(0)
    for length in [0, 1, 7, 8, 9, 100, len(data) - 1, *(rng.randrange(len(data)) for _ in range(60))]:
        broken.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"short\.safetensors"):
            checkpoint.load(broken)


def test_any_flipped_bit_is_an_input_error(small, tmp_path):
    data = small[0].read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    rng = random.Random(1)
    positions = [*range(16), *(rng.randrange(header) for _ in range(150)), *range(header - 8, header + 8)]
    positions += [rng.randrange(header, len(data)) for _ in range(100)] + [len(data) - 1]
    broken = tmp_path / "flipped.safetensors"
    for position in positions:
        changed = bytearray(data)
        changed[position] ^= 1 << rng.randrange(8)
        broken.write_bytes(changed)
        with pytest.raises(InputError, match=r"flipped\.safetensors"):
            checkpoint.load(broken)


def test_appended_bytes_are_an_input_error(small, tmp_path):
    longer = tmp_path / "longer.safetensors"
    longer.write_bytes(small[0].read_bytes() + b"\0" * 16)
    with pytest.raises(InputError):
        checkpoint.load(longer)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle in a zip", b"\xff" * 64, b'{"json": 1}' * 20])
def test_foreign_files_are_refused(content, tmp_path):
    path = tmp_path / "foreign.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoint.load(path)


def test_missing_file_and_wrong_kind(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        checkpoint.load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="is a folder without a checkpoint"):
        checkpoint.load(tmp_path)
    tensor_file.write(tmp_path / "state.safetensors", "training-state", {}, {"a": torch.ones(2)})
    with pytest.raises(InputError, match="is a training-state, expected a checkpoint"):
        checkpoint.load(tmp_path / "state.safetensors")


def test_a_description_of_another_network_does_not_load(small, tmp_path):
    """A file with a valid digest whose description does not fit its tensors, or is nonsense."""
    description, tensors = tensor_file.read(small[0], "checkpoint")
    path = tmp_path / "edited.safetensors"
    edits = [
        ("version", 99), ("backbone", {"name": "vgg-19"}), ("backbone", {"name": "rm -rf"}), ("gating", None),
        ("gating", {"method": "sanp", "options": {"reduction": "x"}}), ("config", {"model": 3}), ("image_size", "big"),
        ("backbone", {**description["backbone"], "width": 0.04}), ("backbone", 7), ("widths", 3), ("widths", {}),
        ("gating", {**description["gating"], "gated": []}), ("gating", {"method": "magic", "options": {}}),
    ]  # fmt: skip
    for key, value in edits:
        tensor_file.write(path, "checkpoint", {**description, key: value}, tensors)
        with pytest.raises(InputError, match=r"edited\.safetensors"):
            checkpoint.load(path)


@pytest.mark.parametrize("name", ["net.safetensors", "state.safetensors"])
def test_files_of_an_earlier_release_get_one_sentence(name, small, tmp_path):
    """Format 1 had "policy" in its report and no widths; a state of that time had no version at all."""
    path = tmp_path / name
    kind = checkpoint.network.KIND if name.startswith("net") else state.KIND
    old = {"version": 1} if name.startswith("net") else {}
    tensor_file.write(path, kind, {**old, "gating": {"policy": "sanp"}, "config": {"policy": "sanp"}}, {})
    with pytest.raises(InputError, match=rf"{kind} format (1|None), expected 2: it was written by another release"):
        checkpoint.load(path) if name.startswith("net") else state.load(path, small[2], {})


def widths_with(description, **changes):
    return {**description, "widths": {**description["widths"], **changes}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"conv3.conv": [6, 5]}, r"layer conv3.norm takes 6 channels and gets 5"),
        ({"conv3.conv": [5, 6]}, r"layer conv3.conv takes 5 channels and gets 6"),
        ({"conv3.conv": [6, 7]}, r"layer conv3.conv has the width \[6, 7\] and the backbone \[6, 6\]"),
        ({"conv3.norm": [6, 5]}, r"layer conv3.norm .* which are equal"),
        ({"conv3.conv": [6, 0]}, r"layer conv3.conv has the width \[6, 0\]"),
        ({"conv3.conv": "wide"}, r"layer conv3.conv has the width 'wide'"),
        ({"conv9.conv": [3, 3]}, r"layer conv9.conv is stated and the network has none"),
        ({"conv3.conv.gate.net.fc1": [6, 10**6]}, r"layer conv3.conv.gate.net.fc1 has the width"),
    ],
)
def test_widths_that_do_not_fit_name_the_layer(change, says, small, tmp_path):
    description, tensors = tensor_file.read(small[0], "checkpoint")
    tensor_file.write(tmp_path / "edited", "checkpoint", widths_with(description, **change), tensors)
    with pytest.raises(InputError, match=says):
        checkpoint.load(tmp_path / "edited")


def remove_channels(network, conv, norm, reader, left, momentum=None):
    """Keep these output channels of `conv` in a plain chain."""
    index = torch.tensor(left)
    cuts = {conv: Keep(outputs=index), norm: Keep(outputs=index), reader: Keep(inputs=index)}
    return narrow(network, cuts, momentum or {})


def test_networks_whose_channels_were_removed_come_back(tmp_path):
    """Plain, then gated, and gated first, then narrowed behind its gates; each is rebuilt from the backbone's name."""
    torch.manual_seed(0)
    config = train_settings(width=0.25, image_size=16)
    path, x = tmp_path / "narrow.safetensors", torch.randn(4, 3, 16, 16)
    plain = models.build("m-cifarnet", width=0.25)
    remove_channels(plain, "conv2.conv", "conv2.norm", "conv3.conv", [0, 3, 4, 9])
    remove_channels(plain, "conv7.conv", "conv7.norm", "head", list(range(7)))
    for network in (plain, gate(plain, X)):
        checkpoint.save(path, network.eval(), config)
        assert torch.equal(checkpoint.load(path).model(x), network(x))
    network = gate(plain, X)
    inner, index = "conv4.conv", torch.tensor([1, 2, 30])
    for name, keep in {
        f"{inner}.conv": Keep(outputs=index), f"{inner}.norm": Keep(outputs=index),
        f"{inner}.gate.net.fc2": Keep(outputs=index), "conv5.conv.conv": Keep(inputs=index),
        "conv5.conv.gate.net.norm": Keep(outputs=index), "conv5.conv.gate.net.fc1": Keep(inputs=index),
    }.items():  # fmt: skip
        narrow(network, {name: keep}, {})
    checkpoint.save(path, network.eval(), config)
    found = checkpoint.load(path)
    assert torch.equal(found.model(x), network(x))
    assert found.model.conv4.conv.conv.out_channels == 3 and found.model.conv2.conv.conv.out_channels == 4
    description = tensor_file.read(path, "checkpoint")[0]
    assert description["widths"]["conv4.conv"] == [32, 3] and description["widths"]["conv4.norm"] == [3, 3]


def test_custom_networks_are_narrowed_to_their_file(tmp_path):
    torch.manual_seed(0)
    network, path = ResNet50Style().eval(), tmp_path / "custom.safetensors"
    remove_channels(network, "layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2", [0, 2])
    checkpoint.save(path, network, image_size=32)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(checkpoint.load(path, model=ResNet50Style()).model(x), network(x))
    gated = gate(network, torch.zeros(1, 3, 32, 32))
    checkpoint.save(path, gated, image_size=32)
    with pytest.raises(InputError, match=r"layer layer1\.0\.conv1 has another width"):
        checkpoint.load(path, model=gate(ResNet50Style(), torch.zeros(1, 3, 32, 32)))


def test_custom_networks_need_their_constructor(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "custom.safetensors"
    model = gate(ResNet50Style(), torch.zeros(1, 3, 32, 32)).eval()
    with pytest.raises(ConfigError, match="image_size"):
        checkpoint.save(path, model)
    checkpoint.save(path, model, image_size=32, metadata={"note": "mine"})
    with pytest.raises(InputError, match="custom network"):
        checkpoint.load(path)
    with pytest.raises(InputError, match=r"15 gated layers .* has 2 or other ones"):
        other = gate(ResNet50Style(), torch.zeros(1, 3, 32, 32), layers="layer1.0.conv1,layer2.0.conv1")
        checkpoint.load(path, model=other)
    x = torch.randn(2, 3, 32, 32)
    for given in (ResNet50Style(), gate(ResNet50Style(), torch.zeros(1, 3, 32, 32))):
        found = checkpoint.load(path, model=given)
        assert torch.equal(found.model(x), model(x))
    assert found.config is None and found.dataset_name == "custom"


def test_failed_writes_leave_the_old_file(small, tmp_path, monkeypatch):
    path = tmp_path / "kept.safetensors"
    path.write_bytes(small[0].read_bytes())
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ConfigError, match="No space left"):
        checkpoint.save(path, small[1], small[2])
    assert path.read_bytes() == small[0].read_bytes()
    assert [item.name for item in tmp_path.iterdir()] == ["kept.safetensors"]


def test_unwritable_folder(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose a writable folder"):
        checkpoint.save(tmp_path / "file" / "net.safetensors", small[1], small[2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.uint8])
def test_tensor_files_keep_every_type_and_empty_tensors(dtype, tmp_path):
    tensors = {
        "a": torch.ones(3, 2).to(dtype),
        "scalar": torch.ones(()).to(dtype),
        "empty": torch.empty(0, 4).to(dtype),
    }
    tensor_file.write(tmp_path / "t", "thing", {"x": [1, None]}, tensors)
    description, found = tensor_file.read(tmp_path / "t", "thing")
    assert description == {"x": [1, None]}
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == dtype for name in tensors)

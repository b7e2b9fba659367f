"""Networks by import path, and weights from elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanp import models
from sanp.models.weights import load_weights
from sanp_targets.errors import ConfigError, InputError
from tests.support.own_network import OwnNet

PATH = "tests.support.own_network"


def test_class_and_function_get_their_arguments_and_the_classes():
    found = models.build(f"{PATH}:OwnNet", 7, args={"channels": 12})
    assert isinstance(found, OwnNet) and found.fc.weight.shape == (7, 12)
    assert models.build(f"{PATH}:own_net", 5).fc.out_features == 5
    assert models.build(f"{PATH}:own_net", 5, args={"num_classes": 9}).fc.out_features == 9
    assert models.build(f"{PATH}:own_net", 5, args={"num_classes": None}).fc.out_features == 1000


def test_a_network_is_float32_whatever_the_default():
    torch.set_default_dtype(torch.float64)
    try:
        found = models.build(f"{PATH}:OwnNet", 7)
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert {value.dtype for value in found.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        (f"{PATH}:OwnNets", {}, "has no factory OwnNets; it has Block, OwnNet, Patches, own_net, broken, no_network"),
        ("tests.support.nowhere:Net", {}, "cannot be imported"),
        (f"{PATH}:", {}, "expected package.module:factory"),
        (f"{PATH}:broken", {}, "ValueError: no network of 10 classes today"),
        (f"{PATH}:OwnNet", {"chanels": 3}, "chanels"),
        (f"{PATH}:no_network", {}, "made a dict, expected a torch.nn.Module"),
        ("subprocess:call", {"args": "true"}, "no network of yours"),
        ("os.path:join", {}, "no network of yours"),
        ("torch.hub:load", {"repo_or_dir": "a/b", "model": "c"}, "no network of yours"),
        ("json5_missing:load", {}, "cannot be imported"),
        ("m-cifarnet", {"a": 1}, "only factories by import path take them"),
    ],
)
def test_what_is_no_factory_is_told(name, args, says):
    with pytest.raises(ConfigError, match=says):
        models.build(name, args=args)


def exits():
    raise SystemExit("no licence")


def lazy():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d())


def without_values():
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 4, 3))


def scripted():
    return nn.Sequential(torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 4, 4)))


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("exits", "failed with .*SystemExit: no licence"),
        ("lazy", r"lazy layers, whose 1\.weight has no shape yet, .*call it once"),
        ("without_values", r"on the device meta, whose 0\.weight has no values"),
        ("scripted", "network of torch.jit, .*before torch.jit.script or trace"),
    ],
)
def test_networks_that_cannot_be_used_are_told(factory, says):
    """Each ended the command without a word, or as a bug of ours."""
    with pytest.raises(ConfigError, match=says):
        models.build(f"tests.toolchain.models.test_import_path:{factory}")


def in_parallel():
    return nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3)))


def compiled():
    return torch.compile(in_parallel())


@pytest.mark.parametrize("factory", ["in_parallel", "compiled"])
def test_wrappers_are_taken_off(factory):
    found = models.build(f"tests.toolchain.models.test_import_path:{factory}")
    assert list(dict(found.named_parameters())) == ["0.weight", "0.bias"]


def test_a_function_of_another_library_is_no_factory():
    with pytest.raises(ConfigError, match="no factory of networks"):
        models.build("sklearn.datasets:load_digits")


def test_width_belongs_to_our_backbones():
    with pytest.raises(ConfigError, match="use model_args"):
        models.build(f"{PATH}:OwnNet", width=0.5)


@pytest.fixture
def state():
    torch.manual_seed(1)
    return OwnNet(4).state_dict()


def same(network, state):
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {f"module.{name}": value for name, value in state.items()},
    lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
    lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}, "epoch": 3},
    lambda state: {"n_averaged": torch.tensor(3), **{f"module.{name}": value for name, value in state.items()}},
    lambda state: {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")},
])  # fmt: skip
def test_state_dicts_of_every_wrapper(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "w.pt")
    network = OwnNet(4)
    assert not same(network, state)
    assert load_weights(network, tmp_path / "w.pt") == ()
    assert same(network, state)


def test_safetensors(tmp_path, state):
    from safetensors.torch import save_file

    save_file(state, tmp_path / "w.safetensors")
    network = OwnNet(4)
    load_weights(network, tmp_path / "w.safetensors")
    assert same(network, state)


def test_another_classifier_is_named_and_can_be_left_fresh(tmp_path, state):
    torch.save(state, tmp_path / "w.pt")
    network = OwnNet(6)
    fresh = network.fc.weight.clone()
    with pytest.raises(ConfigError, match=r"fc.weight is \[4, 8\] in the file and \[6, 8\] here.*weights_except"):
        load_weights(network, tmp_path / "w.pt")
    assert load_weights(network, tmp_path / "w.pt", ["fc"]) == ("fc.weight", "fc.bias")
    assert torch.equal(network.fc.weight, fresh) and torch.equal(network.stem[0].weight, state["stem.0.weight"])
    with pytest.raises(ConfigError, match="weights_except names head"):
        load_weights(network, tmp_path / "w.pt", ["head"])


def test_missing_and_extra_tensors_are_named(tmp_path, state):
    del state["block.conv2.weight"]
    torch.save({**state, "aux.weight": torch.zeros(3)}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=r"block.conv2.weight is not in the file; aux.weight is in the file only"):
        load_weights(OwnNet(4), tmp_path / "w.pt")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('ran')",))


def test_nothing_but_tensors_is_unpickled(tmp_path):
    torch.save({"state_dict": {"a": Evil()}}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"save network\.state_dict"):
        load_weights(OwnNet(4), tmp_path / "evil.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(InputError, match=r"save network.state_dict\(\) alone"):
        load_weights(OwnNet(4), tmp_path / "whole.pt")
    with pytest.raises(InputError, match="check the path"):
        load_weights(OwnNet(4), tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: {1: torch.ones(2)}, "has the key 1, expected names"),
        (lambda state: {**state, "fc.weight": state["fc.weight"] * float("nan")}, "fc.weight holds NaN or infinity"),
        (lambda state: {**state, "fc.weight": state["fc.weight"].to(torch.int8)}, "fc.weight is int8, expected real"),
        (lambda state: {**state, "fc.weight": state["fc.weight"] * 1j}, "fc.weight is complex64, expected real"),
    ],
)
def test_weights_that_are_no_real_numbers_are_refused(tmp_path, state, change, says):
    """Each was loaded without a word, or ended as a bug of ours."""
    torch.save(change(state), tmp_path / "w.pt")
    with pytest.raises(InputError, match=says):
        load_weights(OwnNet(4), tmp_path / "w.pt")


def test_a_pickled_network_is_refused_without_terminal_codes(tmp_path):
    torch.save(OwnNet(4), tmp_path / "w.pt")
    with pytest.raises(InputError, match="is not a file of weights") as caught:
        load_weights(OwnNet(4), tmp_path / "w.pt")
    assert "\x1b" not in str(caught.value)

"""Packages that do not fit each other are not a fault of the network, and the doctor finds them."""

import importlib

import pytest
import torch
from torch import nn

from sanp.pipeline.doctor import examine
from sanp_export.exporter import check_environment, export
from sanp_targets.errors import ExportError, TargetError
from tests.support import exported_nets as nets

FITS = r"torch cannot export any network here \(\w+Error: .*found torch \S+, onnxscript \S+, onnx-ir"


@pytest.fixture
def mismatch(monkeypatch):
    """As with onnxscript 0.5.0 and torch 2.13: one package asks for a name that the other does not have yet.

    It is taken from where the exporter looks when it runs: what it imports, an earlier test has imported already.
    """
    monkeypatch.delattr(importlib.import_module("torch.onnx._internal.exporter._core").ir, "Model")


def test_a_missing_name_inside_the_packages_names_their_versions(mismatch):
    with pytest.raises(TargetError, match=FITS) as error:
        export(nets.make("plain"), nets.IMAGE)
    assert error.value.exit_code == 3


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    for name in [name for name in __import__("sys").modules if name.startswith("torch.onnx._internal.exporter")]:
        monkeypatch.delitem(__import__("sys").modules, name)
    with pytest.raises(TargetError, match=FITS):
        check_environment()


def test_the_doctor_finds_it(mismatch):
    rows = {row.what: row for row in examine()}
    assert rows["export to ONNX"].state == "missing" and "onnxscript" in rows["export to ONNX"].detail


def test_the_doctor_of_a_sound_installation():
    assert {row.what: row.state for row in examine()}["export to ONNX"] == "ok"


@pytest.mark.parametrize("what", ["attribute", "method", "import"])
def test_the_same_errors_of_a_network_stay_its_own(what):
    class Wrong(nets.Plain):
        def forward(self, x):
            x = super().forward(x)
            if what == "import":
                import does_not_exist  # noqa: F401
            return x.no_such_method() if what == "method" else self.no_such_layer(x)

    torch.manual_seed(0)
    with pytest.raises(ExportError, match="torch could not export the network"):
        export(Wrong().eval(), nets.IMAGE)
    assert isinstance(Wrong(), nn.Module)

"""Reading an exported file: damage of any kind is one clear sentence, never a traceback from protobuf."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sanp_export.exporter import export
from sanp_export.graph.model_file import is_sealed, layers_of, read, write
from sanp_targets.errors import ConfigError, ExportError, InputError
from tests.support import exported_nets as nets

IMAGE = torch.randn(2, 3, 12, 12)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    write(export(nets.make("residual"), IMAGE), path)
    return path.read_bytes()


def test_round_trip(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    model = read(path)
    assert is_sealed(model)
    assert [layer.name for layer in layers_of(model)] == ["stem", "a1", "a2", "b1", "b2", "short", "fc"]


@pytest.mark.parametrize("seed", range(60))
def test_every_flipped_bit_is_noticed(content, tmp_path, seed):
    damaged = bytearray(content)
    position = int(np.random.default_rng(seed).integers(len(damaged)))
    damaged[position] ^= 1 << (seed % 8)
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(damaged))
    with pytest.raises(InputError, match=str(path)):
        read(path)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.999])
def test_truncation_is_noticed(content, tmp_path, keep):
    path = tmp_path / "model.onnx"
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(InputError, match="export"):
        read(path)


def test_foreign_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError):
        read(tmp_path / "text.onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match="no SANP metadata"):
        read(tmp_path / "foreign.onnx")


def test_an_edit_is_allowed_only_on_request(content, tmp_path):
    model = onnx.load_model_from_string(content)
    model.doc_string = "edited by hand"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="--allow-modified"):
        read(path)
    assert read(path, allow_modified=True).doc_string == "edited by hand"


def test_unwritable_folder_leaves_nothing(content, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="choose a writable folder"):
        write(onnx.load_model_from_string(content), tmp_path / "file" / "model.onnx")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_weights_beyond_the_limit_of_a_file_are_refused_before_they_are_copied():
    """Tensors without memory behind them: whoever copied them would fail with something else."""
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(8, 30_000), nn.Linear(30_000, 30_000))
    with pytest.raises(ExportError, match=r"weights of Sequential take 3\.60 GB.* at most 2\.08 GB"):
        export(network, torch.zeros(1, 8))

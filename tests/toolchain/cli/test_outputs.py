"""Results go neither into a bundle nor over an earlier result, unless that was asked for."""

import pytest

from sanp.pipeline.outputs import check_outputs
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import open_bundle
from sanp_targets.errors import ConfigError


def lines(trained, bundle, folder):
    """A line per verb that writes, with its result in `folder`."""
    model = bundle.parent / "model.onnx"
    return {
        "export": (["export", trained, "-o", folder / "m.onnx", "--samples", 2], "m.onnx"),
        "compile": (["compile", model, "-o", folder / "m.sanp"], "m.sanp"),
        "profile": (["profile", bundle, "--duration", 0.3, "--allow-invalid", "-o", folder / "p.json"], "p.json"),
        "analyze": (["analyze", trained, "--limit", 8, "-o", folder], "analysis.json"),
        "report": (["report", bundle, "-o", folder], "report.html"),
        "train": (["train", "-o", folder, *_short()], "checkpoint.safetensors"),
    }


def _short():
    epochs = {"pretrain_epochs": 1, "warmup_epochs": 1, "joint_epochs": 1, "calibrate": "false", "image_size": 16}
    sets = [word for key, value in epochs.items() for word in ("--set", f"{key}={value}")]
    return ["--width", 0.0625, "--budget", 1, *sets]


WRITING = ("export", "compile", "profile", "analyze", "report", "train")


@pytest.mark.parametrize("verb", WRITING)
def test_nothing_is_written_into_a_bundle(sanp, trained, bundle, verb):
    before = open_bundle(bundle).digest()
    result = sanp(*lines(trained, bundle, bundle)[verb][0])
    assert result.returncode == 2 and "lies in the bundle" in result.stderr, result.stderr
    assert open_bundle(bundle).digest() == before
    assert "lies in the bundle" in sanp(*lines(trained, bundle, bundle / "new")[verb][0]).stderr
    assert open_bundle(bundle).digest() == before


@pytest.mark.parametrize("verb", WRITING)
def test_an_earlier_result_is_replaced_only_on_request(sanp, trained, bundle, tmp_path, verb):
    line, name = lines(trained, bundle, tmp_path)[verb]
    first = sanp(*line)
    assert first.returncode in (0, 4), first.stderr
    if verb == "profile":
        line = [*line, "--batch", 2]
    kept = _content(tmp_path / name)
    refused = sanp(*line)
    assert refused.returncode == 2 and "--replace" in refused.stderr, refused.stderr
    assert _content(tmp_path / name) == kept
    assert sanp(*line, "--replace").returncode in (0, 4)


def _content(path):
    return path.read_bytes() if path.is_file() else sorted(item.name for item in path.iterdir())


def test_the_manifest_of_a_bundle_is_not_a_place_for_a_profile(sanp, bundle):
    result = sanp("profile", bundle, "--duration", 0.3, "--allow-invalid", "--replace", "-o", bundle / "manifest.json")
    assert result.returncode == 2 and "lies in the bundle" in result.stderr
    open_bundle(bundle)


def test_links_lead_into_a_bundle_too(bundle, tmp_path):
    (tmp_path / "link").symlink_to(bundle)
    with pytest.raises(ConfigError, match="lies in the bundle"):
        write_atomically(tmp_path / "link" / "x.json", b"{}")


def test_a_manifest_of_something_else_is_no_bundle(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    check_outputs([tmp_path / "x.json"], replace=False)
    with pytest.raises(ConfigError, match="exists already"):
        check_outputs([tmp_path / "manifest.json"], replace=False)
    check_outputs([tmp_path / "manifest.json"], replace=True)
    with pytest.raises(ConfigError, match="is a folder"):
        check_outputs([tmp_path], replace=True)

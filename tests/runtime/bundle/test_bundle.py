"""Reading and writing bundles: every damaged, incomplete or hostile one is refused with one sentence."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest

from sanp_runtime.bundle.manifest import SCHEMA_VERSION, checksum
from sanp_runtime.bundle.manifest_reading import loads
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.bundle.writer import BundleWriter
from sanp_targets.errors import ConfigError, InputError, TargetError
from tests.support.tiny_bundle import fill, make_manifest, make_reference


def edit(folder: Path, change) -> None:
    """Rewrite the manifest with a valid checksum, as an attacker would."""
    path = folder / "manifest.json"
    row = json.loads(path.read_text())
    change(row)
    row["manifest_sha256"] = checksum(row)
    path.write_text(json.dumps(row))


def test_round_trip(pristine):
    bundle = open_bundle(pristine)
    assert bundle.manifest == loads(bundle.manifest.dumps())
    assert bundle.manifest.layer("block.a").c_in == 8
    reference, expected = bundle.reference(), make_reference()
    for name, array in expected.arrays().items():
        np.testing.assert_array_equal(reference.arrays()[name], array)
    assert reference.take([2, 0]).x.shape == (2, 3, 8, 8)
    with pytest.raises(TargetError, match="no operator library"):
        bundle.library()
    with pytest.raises(InputError, match="'fast'"):
        bundle.variant("fast")


def test_equal_content_gives_equal_bytes(pristine, tmp_path):
    with BundleWriter(tmp_path / "again.sanp") as writer:
        again = fill(writer)
    assert again.digest() == open_bundle(pristine).digest()
    for item in pristine.iterdir():
        assert item.read_bytes() == (again.path / item.name).read_bytes(), item.name


def test_every_flipped_bit_is_found(bundle_path):
    rng = random.Random(7)
    for item in sorted(bundle_path.iterdir()):
        content = item.read_bytes()
        positions = {0, len(content) - 1} | {rng.randrange(len(content)) for _ in range(30)}
        for position in positions:
            damaged = bytearray(content)
            damaged[position] ^= 1 << rng.randrange(8)
            item.write_bytes(bytes(damaged))
            with pytest.raises(InputError):
                open_bundle(bundle_path)
                pytest.fail(f"bit flip at {item.name}:{position} was accepted")
        item.write_bytes(content)
    open_bundle(bundle_path)


def test_every_truncated_or_missing_file_is_found(bundle_path):
    for item in sorted(bundle_path.iterdir()):
        content = item.read_bytes()
        for verify in (True, False):
            for keep in (0, 1, len(content) // 2, len(content) - 1):
                item.write_bytes(content[:keep])
                if item.name == "manifest.json" and keep == len(content) - 1:
                    continue  # only the final line break is gone
                with pytest.raises(InputError):
                    open_bundle(bundle_path, verify=verify)
        item.unlink()
        with pytest.raises(InputError):
            open_bundle(bundle_path)
        item.write_bytes(content)


def test_extra_files_links_and_folders_are_refused(bundle_path, tmp_path):
    extra = bundle_path / "notes.txt"
    extra.write_text("x")
    with pytest.raises(InputError, match=r"extra file.*notes\.txt"):
        open_bundle(bundle_path)
    extra.unlink()
    weights = bundle_path / "weights.bin"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not a regular file"):
        open_bundle(bundle_path)
    weights.unlink()
    weights.mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        open_bundle(bundle_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ".hidden", "", "a\\b", "a\x00b", "x" * 200])
def test_path_traversal_is_refused(bundle_path, name):
    def change(row):
        row["files"][name] = row["files"].pop("weights.bin")

    edit(bundle_path, change)
    with pytest.raises(InputError, match="without a folder"):
        open_bundle(bundle_path)


def test_variant_may_not_name_a_foreign_file(bundle_path):
    edit(bundle_path, lambda row: row["variants"].update(gated="../../evil.onnx"))
    with pytest.raises(InputError, match="without a folder"):
        open_bundle(bundle_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(schema_version=SCHEMA_VERSION + 1), "made by a newer version"),
        (lambda row: row.update(schema_version=True), "schema version True"),
        (lambda row: row.pop("gated"), "fields"),
        (lambda row: row.update(surprise=1), "surprise"),
        (lambda row: row.update(layers={}), "layers"),
        (lambda row: row["layers"].pop(), "dense_macs"),
        (lambda row: row["layers"].append(row["layers"][0]), "gated"),
        (lambda row: row["layers"].append(row["layers"][3]), "every layer name once"),
        (lambda row: row["layers"][1].update(c_in=9), "block.a"),
        (lambda row: row["layers"][1].update(groups=0), "positive counts"),
        (lambda row: row["build"].update(bf16_weights=True), "bf16_weights"),
        (lambda row: row["build"].update(bf16_weights={}), "bf16_weights"),
        (lambda row: row["build"].update(bf16_weights={"layers": {"head": 0.001}}), "bf16_weights"),
        (lambda row: row["build"].update(bf16_weights={"layers": {"stem": "0.001"}}), "bf16_weights"),
        (lambda row: row["build"].update(bf16_weights={"layers": {"stem": 1.5}}), "bf16_weights"),
        (lambda row: row["layers"][1].update(gate_hidden=-1), "positive counts"),
        (lambda row: row["layers"][1].update(support={"gate": "nobody"}), "block.a"),
        (lambda row: row["gated"].pop(), "gated"),
        (lambda row: row["input"].update(shape=[3, 0, 8]), "input.shape"),
        (lambda row: row["input"].update(dtype="float16"), "float32"),
        (lambda row: row["variants"].pop("dense"), "variants"),
        (lambda row: row["variants"].update(dense="absent.onnx"), "absent.onnx"),
        (lambda row: row["files"]["weights.bin"].update(size=-1), "weights.bin"),
        (lambda row: row["files"]["weights.bin"].update(sha256="0"), "weights.bin"),
        (lambda row: row["target"].pop("arch"), "target.arch"),
        (lambda row: row["outputs"].clear(), "outputs"),
        (lambda row: row["outputs"].append(row["outputs"][0]), "outputs"),
        (lambda row: row["outputs"][0].update(shape=[0]), "shape of a sample"),
        (lambda row: row["outputs"][0].update(shape="5"), "shape of a sample"),
        (lambda row: row["outputs"][0].update(name="gate.stem"), "means something else"),
        (lambda row: row["outputs"].append("logits"), "shape of a sample"),
    ],
)
def test_contradictory_manifests_are_refused(bundle_path, change, message):
    edit(bundle_path, change)
    with pytest.raises(InputError, match=message):
        open_bundle(bundle_path)


def mutate(value, rng):
    """The same JSON with one place, at any depth, removed or replaced by something nasty."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        rest = {name: item for name, item in value.items() if name != key}
        return rest if rng.random() < 0.2 else {**rest, key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], mutate(value[place], rng), *value[place + 1 :]]
    return rng.choice([None, True, -1, 0, 2**70, 1.5, "", "../x", [], {}, [[]], {"dense": 3}, {"any": [{"gate": "x"}]}])


def test_mutated_manifests_never_crash(bundle):
    """With a valid checksum, as an attacker would write it: accepted or InputError, nothing else."""
    rng, refused = random.Random(11), 0
    for _ in range(1000):
        row = mutate(bundle.manifest.to_json(), rng)
        if isinstance(row, dict):
            row["manifest_sha256"] = checksum(row)
        try:
            loads(json.dumps(row))
        except InputError:
            refused += 1
    assert refused > 500


def test_numbers_that_json_does_not_have(bundle):
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = bundle.manifest.dumps().replace('"threshold": 0.25', f'"threshold": {number}')
        with pytest.raises(InputError, match="NaN or infinity"):
            loads(text)


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "\x00", "{}", "[" * 100000, '{"schema_version": 1e999}'])
def test_manifests_that_are_not_manifests(bundle_path, text):
    (bundle_path / "manifest.json").write_text(text)
    with pytest.raises(InputError):
        open_bundle(bundle_path)


def test_places_that_are_not_bundles(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "absent", tmp_path / "file", tmp_path):
        with pytest.raises(InputError, match="expected a bundle"):
            open_bundle(path)


def make_old(folder: Path) -> None:
    """Turn a bundle into one of schema 1, which called the variants graphs and the gated one model."""

    def change(row):
        row["graphs"] = row.pop("variants")
        row["graphs"]["model"] = "model.onnx"
        row["files"]["model.onnx"] = row["files"].pop(row["graphs"].pop("gated"))
        row["schema_version"] = 1

    edit(folder, change)
    (folder / "gated.onnx").rename(folder / "model.onnx")


def test_a_bundle_of_an_older_version_says_what_to_do(bundle_path):
    make_old(bundle_path)
    with pytest.raises(InputError, match="made by an older version of the toolchain; compile it again from the ONNX"):
        open_bundle(bundle_path)


def test_a_bundle_of_an_older_version_may_be_replaced_unless_something_else_lies_there(bundle_path):
    make_old(bundle_path)
    (bundle_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="will not be replaced"), BundleWriter(bundle_path, replace=True):
        pass
    (bundle_path / "thesis.tex").unlink()
    with BundleWriter(bundle_path, replace=True) as writer:
        fill(writer)
    assert open_bundle(bundle_path).variant("gated").name == "gated.onnx"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_a_failure(tmp_path, error):
    with pytest.raises(error), BundleWriter(tmp_path / "net.sanp") as writer:
        writer.add_bytes("model.onnx", b"x")
        raise error
    with BundleWriter(tmp_path / "net.sanp") as writer:
        writer.add_bytes("model.onnx", b"x")
    assert list(tmp_path.iterdir()) == []


def test_failed_rename_keeps_the_old_bundle(bundle_path, monkeypatch):
    before = (bundle_path / "manifest.json").read_bytes()
    rename = Path.rename

    def fails_for_the_new_one(self, target):
        if self.parent == bundle_path.parent and self != bundle_path and Path(target) == bundle_path:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    with pytest.raises(ConfigError, match="No space left"), BundleWriter(bundle_path, replace=True) as writer:
        monkeypatch.setattr(Path, "rename", fails_for_the_new_one)
        fill(writer)
    monkeypatch.undo()
    assert (bundle_path / "manifest.json").read_bytes() == before
    assert [item.name for item in bundle_path.parent.iterdir()] == [bundle_path.name]


def test_replacing_is_explicit(bundle_path):
    with pytest.raises(ConfigError, match="exists already"), BundleWriter(bundle_path):
        pass
    with BundleWriter(bundle_path, replace=True) as writer:
        fill(writer)
    open_bundle(bundle_path)
    assert [item.name for item in bundle_path.parent.iterdir()] == [bundle_path.name]


def test_a_directory_with_other_things_is_never_replaced(bundle_path, tmp_path):
    (bundle_path / "thesis.tex").write_text("years of work")
    home = tmp_path / "home"
    home.mkdir()
    (home / "file").write_text("x")
    for path in (bundle_path, home):
        with pytest.raises(ConfigError, match="will not be replaced"), BundleWriter(path, replace=True):
            pass
    link = tmp_path / "link.sanp"
    link.symlink_to(home)
    with pytest.raises(ConfigError), BundleWriter(link, replace=True):
        pass
    assert (bundle_path / "thesis.tex").exists() and (home / "file").exists()


def test_manifest_must_describe_the_files(tmp_path):
    with pytest.raises(InputError, match="variant files"), BundleWriter(tmp_path / "net.sanp") as writer:
        writer.add_bytes("model.onnx", b"x")
        writer.finish(make_manifest())
    with pytest.raises(InputError, match="logits"), BundleWriter(tmp_path / "net.sanp") as writer:
        for kind in ("gated", "open", "replay", "dense"):
            writer.add_bytes(f"{kind}.onnx", b"x")
        reference = make_reference()
        writer.add_reference(dataclasses.replace(reference, outputs={"logits": reference.logits[:, :2]}))
        writer.finish(make_manifest())
    assert list(tmp_path.iterdir()) == []


def test_names_and_places_of_the_writer(tmp_path):
    with pytest.raises(ConfigError, match="not a directory"), BundleWriter(tmp_path / "no" / "net.sanp"):
        pass
    with BundleWriter(tmp_path / "net.sanp") as writer:
        writer.add_bytes("a", b"")
        for name in ("a", "manifest.json", "../a", "b/c", ""):
            with pytest.raises(ConfigError):
                writer.add_bytes(name, b"")
        with pytest.raises(InputError, match="not a file"):
            writer.add_file("b", tmp_path / "absent")
    with pytest.raises(ConfigError, match="not active"):
        writer.add_bytes("b", b"")


def test_unwritable_folder():
    with pytest.raises(ConfigError, match="cannot be written"), BundleWriter("/proc/net.sanp"):
        pass


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays: arrays.pop("x"),
        lambda arrays: arrays.pop("scale/stem"),
        lambda arrays: arrays.update(labels=np.zeros(0, np.int64)),
        lambda arrays: arrays.update(labels=arrays["labels"].astype(np.int32)),
        lambda arrays: arrays.update(x=arrays["x"][:, :2]),
        lambda arrays: arrays.update(x=arrays["x"] * np.float32("nan")),
        lambda arrays: arrays.update({"scale/nobody": arrays["scale/stem"]}),
        lambda arrays: arrays.update(x=np.array([object()])),
    ],
)
def test_reference_files_that_do_not_fit(tmp_path, bundle, damage):
    from sanp_runtime.bundle.reference import read_reference

    arrays = make_reference().arrays()
    damage(arrays)
    np.savez(tmp_path / "reference.npz", **arrays)
    with pytest.raises(InputError):
        read_reference(tmp_path / "reference.npz", bundle.manifest)


def test_damaged_reference_files_never_crash(bundle, tmp_path):
    """Without the hash check a flipped bit may survive in the numbers, but it must not raise anything else."""
    from sanp_runtime.bundle.reference import read_reference

    content, rng, path = make_reference().dumps(), random.Random(5), tmp_path / "reference.npz"
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]))
        try:
            read_reference(path, bundle.manifest)
        except InputError:
            refused += 1
    assert refused > 150


def test_files_that_belong_together_are_written_together(tmp_path, monkeypatch):
    """A disk that is full at the second file leaves both old ones."""
    import errno
    import os

    from sanp_runtime.bundle.files import write_together
    from sanp_targets.errors import ConfigError

    first, second = tmp_path / "a", tmp_path / "b"
    write_together({first: b"old a", second: b"old b"})
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"b: cannot be written.*No space left"):
        write_together({first: b"new a", second: b"new b"})
    assert (first.read_bytes(), second.read_bytes()) == (b"old a", b"old b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"], "no temporary file is left"
    write_together({first: b"new a", second: b"new b"})
    assert (first.read_bytes(), second.read_bytes()) == (b"new a", b"new b")

"""Engines against the NumPy reference; hostile arguments; both with and without the operator library."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from sanp_runtime import load
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import VARIANTS
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library
from sanp_runtime.network.macs import dense_macs, sample_macs
from sanp_targets.errors import AccelerationError, ConfigError, InputError, TargetError
from tests.support import tiny_net
from tests.support.tiny_bundle import make_manifest


@pytest.fixture(scope="module", params=["plain", "native"])
def place(request):
    """Path and keyword arguments of the bundle, run by plain ONNX Runtime or by our kernels."""
    if request.param == "plain":
        return request.getfixturevalue("pristine"), {"library": None}
    return request.getfixturevalue("native_path"), {}


@pytest.fixture(scope="module")
def engine(place):
    with load(place[0], **place[1]) as engine:
        yield engine


def test_model_matches_the_reference(engine):
    x = tiny_net.samples(6)
    answers = tiny_net.reference(tiny_net.weights(), x)
    result = engine(x)
    np.testing.assert_allclose(result.logits, answers["logits"], rtol=1e-4, atol=1e-4)
    for layer in tiny_net.GATED:
        np.testing.assert_array_equal(result.gates[layer] != 0, answers[f"scale/{layer}"] != 0)
        np.testing.assert_allclose(result.gates[layer], answers[f"scale/{layer}"], rtol=1e-4, atol=1e-4)
    assert result.macs.shape == (6,) and result.macs.dtype == np.float64
    np.testing.assert_array_equal(result.macs, sample_macs(tiny_net.LAYERS, result.gates))
    assert len(set(result.macs)) > 1, "the cost must depend on the sample"


def test_samples_do_not_influence_each_other(engine):
    x = tiny_net.samples(6)
    together = engine(x).logits
    for index in range(6):
        np.testing.assert_allclose(engine(x[index : index + 1]).logits[0], together[index], rtol=1e-5, atol=1e-5)


def test_masks_force_channels_off(engine):
    x = tiny_net.samples(4)
    mask = np.ones((1, tiny_net.WIDTH), np.float32)
    mask[:, ::2] = 0
    closed = engine(x, {"block.a": mask})
    free = engine(x)
    assert not closed.gates["block.a"][:, ::2].any()
    np.testing.assert_array_equal(closed.gates["block.a"][:, 1::2], free.gates["block.a"][:, 1::2])
    assert (closed.macs <= free.macs).all() and closed.macs.sum() < free.macs.sum()
    per_sample = np.repeat(mask, 4, axis=0)
    np.testing.assert_array_equal(engine(x, {"block.a": per_sample}).logits, closed.logits)


def test_open_equals_dense_and_replay_equals_model(place):
    x = tiny_net.samples(5)
    path, options = place
    with load(path, variant="open", **options) as opened, load(path, variant="dense", **options) as dense:
        np.testing.assert_allclose(opened(x).logits, dense(x).logits, rtol=1e-4, atol=1e-4)
        assert dense(x).gates == {}
        np.testing.assert_array_equal(dense(x).macs, np.full(5, dense_macs(tiny_net.LAYERS)))
        with pytest.raises(InputError, match="dense variant"):
            dense(x, {"stem": np.ones((1, 8), np.float32)})
    with load(path, **options) as model, load(path, variant="replay", **options) as replay:
        expected = model(x)
        np.testing.assert_allclose(replay(x, expected.gates).logits, expected.logits, rtol=1e-5, atol=1e-5)


def test_bind_returns_the_same_logits_and_keeps_its_own_input(engine):
    x = tiny_net.samples(2)
    mask = {"stem": np.zeros((1, 8), np.float32)}
    expected, masked = engine(x).logits, engine(x, mask).logits
    run, run_masked = engine.bind(x), engine.bind(x, mask)
    x[:] = 0
    np.testing.assert_array_equal(run(), expected)
    np.testing.assert_array_equal(run_masked(), masked)
    assert run() is run()


GOOD = np.zeros((2, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0]], "is a list"),
        (None, "NoneType"),
        (GOOD.astype(np.float64), "float64"),
        (GOOD.astype(np.uint8), "uint8"),
        (GOOD[0], r"add the batch axis"),
        (GOOD[0, 0, 0], "reshape"),
        (GOOD[:0], "no samples"),
        (np.zeros((2, 8, 8, 3), np.float32), "8 channels"),
        (np.zeros((2, 3, 8, 9), np.float32), "8x9"),
        (np.full_like(GOOD, np.nan), "NaN"),
        (np.where(np.arange(384).reshape(GOOD.shape) == 5, np.float32(np.inf), GOOD), "infinity"),
        (np.array("text"), "dtype"),
        (np.array(None), "object"),
    ],
)
def test_images_are_checked(engine, x, message):
    for call in (engine, engine.bind):
        with pytest.raises(InputError, match=message):
            call(x)


ONES = np.ones((1, 8), np.float32)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([ONES], "is a list"),
        ({"block.c": ONES}, r"nearest are.*block\.a|nearest are.*block\.b"),
        ({"zzz": ONES}, "there are"),
        ({3: ONES}, "no gated layer 3"),
        ({"head": ONES}, "no gated layer 'head'"),
        ({"stem": ONES[:, :7]}, r"shape \[1, 7\]"),
        ({"stem": ONES[0]}, r"shape \[8\]"),
        ({"stem": np.ones((3, 8), np.float32)}, r"\[1 or 2, 8\]"),
        ({"stem": ONES.astype(bool)}, "bool"),
        ({"stem": [1.0] * 8}, "list"),
        ({"stem": ONES * np.float32("nan")}, "NaN"),
        ({"stem": -ONES}, "negative"),
    ],
)
def test_masks_are_checked(engine, masks, message):
    with pytest.raises(InputError, match=message):
        engine(GOOD, masks)


def test_strided_and_big_endian_inputs(engine):
    wide = np.repeat(tiny_net.samples(2), 2, axis=3)
    np.testing.assert_array_equal(engine(wide[..., ::2]).logits, engine(tiny_net.samples(2)).logits)
    with pytest.raises(InputError, match="dtype"):
        engine(GOOD.astype(">f4"))


def test_closed_engine(place):
    engine = load(place[0], **place[1])
    engine.close()
    engine.close()
    with pytest.raises(ConfigError, match="closed"):
        engine(GOOD)


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2", 10**6])
def test_threads_are_checked(pristine, threads):
    with pytest.raises(ConfigError, match="threads"):
        load(pristine, library=None, threads=threads)


def test_load_arguments(pristine, tmp_path):
    with pytest.raises(InputError, match="'quick'"):
        load(pristine, variant="quick", library=None)
    with pytest.raises(TargetError, match="no operator library"):
        load(pristine)
    with pytest.raises(TargetError, match="does not exist"):
        load(pristine, library=tmp_path / "absent.so")
    (tmp_path / "bad.so").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(TargetError, match="cannot be loaded on this machine"):
        load(pristine, library=tmp_path / "bad.so")
    with pytest.raises(ConfigError, match="without an operator library"):
        load(pristine, library=None, isa="avx2")
    load(pristine, variant="dense")  # the baseline needs no library


def test_damaged_variant_without_verification_is_an_input_error(bundle_path):
    path = bundle_path / "gated.onnx"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(InputError, match="cannot load it"):
        load(bundle_path, library=None, verify=False)


def test_variants_without_their_masks_or_gates_are_refused(tmp_path):
    """The dense variant in the place of the gated one: complete hashes, wrong network."""
    blob, offsets = bytearray(), {}
    with BundleWriter(tmp_path / "mixed.sanp") as writer:
        for kind in VARIANTS:
            model = tiny_net.build_graph("dense", tiny_net.weights())
            writer.add_bytes(f"{kind}.onnx", tiny_net.external(model, offsets, blob))
        writer.add_bytes("weights.bin", bytes(blob))
        writer.finish(make_manifest())
    with pytest.raises(InputError, match=r"mask\.stem.*gate\.stem"):
        load(tmp_path / "mixed.sanp", library=None)


def test_plain_onnxruntime_is_not_acceleration(pristine):
    with load(pristine, library=None) as engine:
        proof = engine.proof()
    assert not proof.passed and proof.accelerated == () and len(proof.gated_nodes) == 6
    with pytest.raises(AccelerationError, match=r"6 of 6.*stem/gate.*stem/conv") as error:
        proof.require()
    assert error.value.exit_code == 3
    with load(pristine, variant="dense") as dense, pytest.raises(InputError, match="nothing to prove"):
        dense.proof()


@pytest.mark.parametrize("variant", ["gated", "open", "replay"])
def test_native_library_is_proved(native_path, variant):
    with load(native_path, variant=variant) as engine:
        proof = engine.proof().require()
    assert proof.passed and len(proof.accelerated) == (3 if variant == "replay" else 6)
    assert proof.isa and proof.library_version
    assert proof.to_json()["missing"] == []


def test_missing_library_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr("sanp_runtime.engines.onnxruntime.library.__file__", str(tmp_path / "a/b/library.py"))
    with pytest.raises(TargetError, match=r"missing.*pip install.*cmake -S runtime/native") as error:
        find_library()
    assert error.value.exit_code == 3


def test_wrong_library_is_refused(pristine):
    import ctypes.util

    name = ctypes.util.find_library("m")
    path = next((f"{folder}/{name}" for folder in ("/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu")), name)
    with pytest.raises(TargetError, match=r"not a SANP operator library|does not exist"):
        load(pristine, library=path)


@pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler is missing")
def test_library_of_an_older_bundle_opens(tmp_path):
    """A bundle brings its own library; what only `compile --tune` asks for may be missing in it."""
    source = tmp_path / "old.c"
    source.write_text(
        'const char* sanp_ops_version(void) { return "0.0.9"; }\n'
        'const char* sanp_ops_isa(void) { return "portable"; }\n'
        "int sanp_ops_force_isa(const char* name) { return name == 0; }\n"
        'const char* sanp_ops_algorithms(const long* shape) { return shape ? "rows" : ""; }\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", tmp_path / "old.so"], check=True)
    library = OpLibrary(tmp_path / "old.so")
    assert (library.version, library.isa) == ("0.0.9", "portable")
    assert library.session_entries() == library.session_entries("auto") == {}, "what asks for nothing still runs"
    with pytest.raises(TargetError, match="newer library"):
        library.algorithms([1] * 15)
    # Its switch was one for the whole process: what is asked of one session is refused, not ignored.
    for asked in ({"isa": "portable"}, {"winograd": 2}, {"bf16_weights": False}):
        with pytest.raises(TargetError, match=r"version 0\.0\.9.*per session.*compile the bundle again"):
            library.session_entries(**asked)


def test_instruction_sets(native_path):
    x = tiny_net.samples(3)
    with load(native_path, isa="portable") as portable, load(native_path) as best:
        assert portable.isa == "portable"
        assert portable.proof().isa == "portable"
        np.testing.assert_allclose(portable(x).logits, best(x).logits, rtol=1e-4, atol=1e-4)
        assert best.library.isa == best.isa, "the choice of one engine must not change the next"
        for layer in tiny_net.GATED:
            np.testing.assert_array_equal(portable(x).gates[layer] != 0, best(x).gates[layer] != 0)
    with load(native_path, isa="auto") as automatic:
        assert automatic.isa == best.isa, "a report must name the set that was used"
    with pytest.raises(ConfigError, match="'sve9'"):
        load(native_path, isa="sve9")

"""Settings: flags over file over defaults, parts by their own names, and every mistake is named."""

import sys

import pytest

from sanp.settings.compile import CompileSettings, TensorrtPart
from sanp.settings.profile import ProfileSettings
from sanp.settings.toml import listing, read_file, resolve
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write(tmp_path, text):
    path = tmp_path / "sanp.toml"
    path.write_text(text)
    return path


def test_flags_override_the_file_which_overrides_defaults(tmp_path):
    path = write(tmp_path, "[profile]\nthreads = 2\nbatch = 4\n")
    settings = resolve(ProfileSettings, path, {"batch": 8, "duration": None})
    assert (settings.threads, settings.batch, settings.duration) == (2, 8, 10.0)


def test_a_flag_reaches_its_part_and_leaves_the_rest_of_it_alone(tmp_path):
    path = write(tmp_path, '[compile]\ntarget = "x86-cuda"\n[compile.tensorrt]\nprecision = "fp16"\nmax_batch = 8\n')
    settings = resolve(CompileSettings, path, {"max_batch": 16, "replace": True})
    assert settings.replace and settings.target == "x86-cuda"
    assert settings.tensorrt == TensorrtPart(precision="fp16", max_batch=16)


def test_keywords_are_flat_or_parts():
    flat = CompileSettings.checked(target="x86-cuda", precision="fp16")
    assert flat == CompileSettings(target="x86-cuda", tensorrt=TensorrtPart(precision="fp16"))
    assert flat == CompileSettings.checked(target="x86-cuda", tensorrt={"precision": "fp16"})
    assert CompileSettings.chosen(flat, {}) is flat
    with pytest.raises(ConfigError, match="settings and the keyword tune were both given"):
        CompileSettings.chosen(flat, {"tune": True})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profile]\nthread = 2\n", "did you mean threads"),
        ("[profil]\nthreads = 2\n", r"\[profil\] is not a section"),
        ("profile = 3\n", "expected a table"),
        ("[profile\n", "not valid TOML"),
        ("[profile]\nthreads = 0\n", r"\[profile\] threads is 0, expected to be greater than or equal to 1"),
        ("[profile]\nthreads = 'two'\n", "threads is 'two', expected to be a valid integer"),
        ("[profile]\nduration = nan\n", "duration is nan"),
        ("[compile]\ntune = true\n", r"\[compile\] has no setting 'tune'; it belongs into \[compile.onnxruntime\]"),
        (
            "[compile.tensorrt]\nprecison = 'fp16'\n",
            r"\[compile.tensorrt\] has no setting 'precison'; did you mean pre",
        ),
        (
            "[compile.tensorrt]\nprecision = 'int8'\n",
            r"\[compile.tensorrt\] precision is 'int8', expected to be 'fp32' ",
        ),
        ("[compile.tensorrt]\nopt_batch = 9\nmax_batch = 8\n", "expected 1 <= opt <= max"),
        ("[compile]\ntensorrt = 3\n", r"\[compile\] tensorrt is 3"),
        ("a = " + "[" * 2000 + "]" * 2000, "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    kind = CompileSettings if "compile" in text else ProfileSettings
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(kind, write(tmp_path, text), {})
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_file(tmp_path / "binary.toml")


def test_settings_are_immutable():
    with pytest.raises(Exception, match="frozen"):
        CompileSettings().target = "other"


@pytest.mark.parametrize("kind", [CompileSettings, ProfileSettings])
def test_the_listing_is_a_settings_file_of_the_defaults(tmp_path, kind):
    text = listing(kind)
    assert tomllib.loads(text).keys() == {kind.section}
    assert resolve(kind, write(tmp_path, text), {}) == kind()


@pytest.mark.parametrize(
    ("keywords", "backend", "leave_out"),
    [
        ({"tune": True, "precision": "fp32"}, "tensorrt", "--tune"),
        ({"tune": True, "bf16_weights": True}, "tensorrt", "--tune, --bf16-weights"),
        ({"max_batch": 9, "layer_times": "x"}, "onnxruntime", "--max-batch, --layer-times"),
    ],
)
def test_the_part_of_another_backend_is_refused(keywords, backend, leave_out):
    settings = CompileSettings.checked(**keywords)
    with pytest.raises(ConfigError, match=f"leave out {leave_out} "):
        settings.check_backend("board", backend)
    settings.check_backend("board", "tensorrt" if backend == "onnxruntime" else "onnxruntime")


@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "1e400"])
@pytest.mark.parametrize("key", ["clip_norm", "lr", "save_every_s", "weight_decay", "data_options = {cue"])
def test_numbers_that_are_none_are_refused_before_training(tmp_path, number, key):
    text = f"[train]\n{key} = {number}" + ("}" if "{" in key else "") + "\n"
    with pytest.raises(
        ConfigError,
        match=r"\w+ is -?(inf|nan), expected to be a finite number",
    ):
        resolve(TrainSettings, write(tmp_path, text), {})


@pytest.mark.parametrize(
    "text",
    [
        "[train]\noptions = " + "[" * 200 + "]" * 200,
        "[train]\noptions = " + "[" * 90_000 + "]" * 90_000,
        "[train." + ".".join("a" * 1 for _ in range(3000)) + "]\nb = 1",
        "[train]\n" + ".".join("a" for _ in range(500)) + " = 1",
    ],
    ids=["arrays", "many-arrays", "tables", "dotted"],
)
def test_deeply_nested_files_are_refused_in_a_sentence(tmp_path, text):
    with pytest.raises(ConfigError, match="is not valid TOML"):
        resolve(TrainSettings, write(tmp_path, text), {})

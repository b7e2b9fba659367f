"""What is printed: names that look like markup, streams that cannot show a character, Ctrl-C at any moment."""

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Below the folder "a[" a path reads a[/]b: a closing tag without an opening one.
HOSTILE = "]b[bold]:smile: \u00d7\u2192\u4e2d"
_CLI = "import sys; sys.argv = {!r}; from sanp.__main__ import main; main()"


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained, bundle):
    """A folder of a hostile name with a checkpoint, a model and a bundle of such names."""
    folder = tmp_path_factory.mktemp("streams") / "a["
    folder.mkdir()
    shutil.copy(trained, folder / f"{HOSTILE}.safetensors")
    for suffix in (".onnx", ".reference.npz"):
        shutil.copy(bundle.parent / f"model{suffix}", folder / f"{HOSTILE}{suffix}")
    shutil.copytree(bundle, folder / f"{HOSTILE}.sanp")
    return folder


def lines(place, new):
    """A line per verb that names a hostile path; outputs go to `new`."""
    checkpoint, model, bundle = (place / f"{HOSTILE}{suffix}" for suffix in (".safetensors", ".onnx", ".sanp"))
    return {
        "export": ["export", checkpoint, "-o", new / f"{HOSTILE}.onnx", "--samples", 2],
        "compile": ["compile", model, "-o", new / f"{HOSTILE}.sanp"],
        "validate": ["validate", bundle, "--checkpoint", checkpoint, "--limit", 8],
        "profile": ["profile", bundle, "--duration", 0.3, "--allow-invalid", "-o", new / f"{HOSTILE}.json"],
        "analyze": ["analyze", checkpoint, "-o", new / HOSTILE, "--limit", 8],
        "inspect": ["inspect", bundle],
        "inspect model": ["inspect", model],
        "inspect checkpoint": ["inspect", checkpoint],
        "doctor": ["doctor"],
        "no file": ["inspect", place / f"{HOSTILE}.nothing"],
        "no setting": ["train", "-o", new / HOSTILE, "--set", f"{HOSTILE}=1"],
        "no target": ["compile", model, "-o", new / "b.sanp", "--target", HOSTILE],
        "no data set": ["train", "-o", new / HOSTILE, "--dataset", HOSTILE],
    }


VERBS = tuple(lines(Path("x"), Path("y")))


@pytest.mark.parametrize("verb", VERBS)
def test_names_are_never_markup(sanp, place, tmp_path, verb):
    (tmp_path / "a[").mkdir()
    result = sanp(*lines(place, tmp_path / "a[")[verb])
    assert result.returncode == (0 if not verb.startswith("no ") else 3 if verb == "no target" else 2), result.stderr
    shown = result.stdout + result.stderr
    assert "MarkupError" not in shown and "internal error" not in shown
    if verb not in ("doctor", "validate", "profile", "inspect", "inspect checkpoint"):
        assert HOSTILE in shown, "printed as it is"


def test_a_report_of_hostile_names(sanp, place, tmp_path):
    bundle = place / f"{HOSTILE}.sanp"
    done = sanp("report", bundle, "-o", tmp_path / HOSTILE, "--profile", tmp_path / f"{HOSTILE}.json")
    assert done.returncode == 2 and HOSTILE in done.stderr
    profile = tmp_path / f"{HOSTILE}.json"
    assert sanp("profile", bundle, "--duration", 0.3, "--allow-invalid", "-o", profile).returncode == 0
    done = sanp("report", bundle, "-o", tmp_path / HOSTILE, "--profile", profile)
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / HOSTILE / "report.html")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda row: " ".join(f"{key}={value}" for key, value in row.items()),
)
@pytest.mark.parametrize("verb", ["profile", "inspect", "no file", "help"])
def test_a_character_that_the_stream_cannot_show_is_replaced(in_new_process, bundle, tmp_path, environment, verb):
    words = {
        "profile": ["profile", str(bundle), "--duration", "0.3", "--allow-invalid"],
        "inspect": ["inspect", str(bundle)],
        "no file": ["inspect", str(tmp_path / "\u4e2d.onnx")],
        "help": ["compile", "--help"],
    }[verb]
    # Written as ASCII: the test is about output, and -c is read in the encoding of the locale.
    code = f"import sys; sys.argv = {['sanp', *words]!a}; from sanp.__main__ import main; main()"
    done = in_new_process(code, **environment)
    assert done.returncode == (2 if verb == "no file" else 0), done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr and b"internal error" not in done.stderr
    if "IOENCODING" in next(iter(environment)):
        (done.stdout + done.stderr).decode(environment["PYTHONIOENCODING"])


def test_json_is_json_whatever_the_stream(in_new_process, place):
    path = place / f"{HOSTILE}.onnx"
    code = _CLI.format(["sanp", "inspect", str(path), "--json"])
    done = in_new_process(code, PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert json.loads(done.stdout)["name"] == path.name, done.stderr


_AT_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize("name", ["sanp.cli.app", "typer", "pydantic", "rich.console", "sanp.pipeline.export", "torch"])
def test_ctrl_c_during_the_start_is_quiet(in_new_process, tmp_path, name):
    words = ["sanp", "export", str(tmp_path / "absent"), "-o", str(tmp_path / "x.onnx")]
    done = in_new_process(_AT_IMPORT.format(name=name) + _CLI.format(words))
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"stopped\n")


@pytest.mark.parametrize("module", ["sanp.cli.app", "sanp_runtime.cli"])
@pytest.mark.parametrize("close", ["import sys; sys.stdout = None", "import os; os.close(1)"])
def test_output_to_a_closed_stream_is_one_line_and_74(in_new_process, bundle, module, close):
    """A result that nobody can have is no success."""
    words = ["sanp", "inspect" if module == "sanp.cli.app" else "info", str(bundle)]
    done = in_new_process(f"{close}\nimport sys; sys.argv = {words!r}\nfrom {module} import main\nsys.exit(main())")
    assert done.returncode == 74, done.stderr
    assert done.stderr.startswith(b"error: the output cannot be written") and done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("sanp.cli.app", ["inspect", "BUNDLE"]),
        ("sanp.cli.app", ["inspect", "BUNDLE", "--json"]),
        ("sanp.cli.app", ["compile", "--help"]),
        ("sanp.cli.app", ["--version"]),
        ("sanp_runtime.cli", ["info", "BUNDLE"]),
        ("sanp_runtime.cli", ["--help"]),
        ("sanp_runtime.cli", ["run", "--help"]),
        ("sanp_runtime.cli", ["run", "BUNDLE", "--json"]),
    ],
)
def test_output_to_a_full_disk_is_one_line_and_74(in_new_process, bundle, module, words):
    words = ["sanp", *(str(bundle) if word == "BUNDLE" else word for word in words)]
    code = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
    code += f"import sys; sys.argv = {words!r}\nfrom {module} import main\nsys.exit(main())"
    done = in_new_process(code)
    assert done.returncode == 74, done.stderr
    assert done.stderr.startswith(b"error: the output cannot be written (No space left on device)"), done.stderr
    assert done.stderr.count(b"\n") == 1, done.stderr


@pytest.mark.parametrize(
    "error",
    [
        "MemoryError",
        "OSError(12, 'Cannot allocate memory')",
        "RuntimeError('CUDA out of memory. Tried to allocate 20.00 MiB.')",
        "Exception('Failed to allocate memory for requested buffer of size 12')",
    ],
)
@pytest.mark.parametrize(("module", "target"), [("sanp.cli.app", "sanp.cli.app.app"), ("sanp_runtime.cli", None)])
def test_too_little_memory_is_a_sentence(in_new_process, bundle, module, target, error):
    words = ["sanp", "info" if target is None else "inspect", str(bundle)]
    place = target or "sanp_runtime.cli.info_command.open_bundle"
    code = f"import sys, unittest.mock; sys.argv = {words!r}\nfrom {module} import main\n"
    code += f"with unittest.mock.patch({place!r}, side_effect={error}): sys.exit(main())"
    done = in_new_process(code)
    assert (done.returncode, done.stdout) == (71, b"")
    assert done.stderr.startswith(b"error: there is not enough memory") and done.stderr.count(b"\n") == 1

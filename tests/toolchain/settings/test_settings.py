"""Settings: flags over file over defaults, and every mistake is named."""

import pytest

from sanp.settings.base import CompileSettings, ProfileSettings, read_section, resolve
from sanp_targets.errors import ConfigError


def write(tmp_path, text):
    path = tmp_path / "sanp.toml"
    path.write_text(text)
    return path


def test_flags_override_the_file_which_overrides_defaults(tmp_path):
    path = write(tmp_path, "[profile]\nthreads = 2\nbatch = 4\n")
    settings = resolve(ProfileSettings, "profile", path, {"batch": 8, "duration": None})
    assert (settings.threads, settings.batch, settings.duration) == (2, 8, 10.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profile]\nthread = 2\n", "did you mean threads"),
        ("[profil]\nthreads = 2\n", r"\[profil\] is not a section"),
        ("profile = 3\n", "expected a table"),
        ("[profile\n", "not valid TOML"),
        ("[profile]\nthreads = 0\n", "threads is 0"),
        ("[profile]\nthreads = 'two'\n", "threads is 'two'"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        resolve(ProfileSettings, "profile", write(tmp_path, text), {})


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_section(tmp_path / "absent.toml", "train")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_section(tmp_path / "binary.toml", "train")


def test_settings_are_immutable():
    with pytest.raises(Exception, match="frozen"):
        CompileSettings().target = "other"

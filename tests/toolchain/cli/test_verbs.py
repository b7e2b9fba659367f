"""What holds for every verb: its options are its settings, each named once; the file, --json and --list-settings."""

import inspect
import json
import sys

import pytest
from typer.main import get_command

from sanp.cli.app import app
from sanp.settings import toml
from sanp.settings.base import fields_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMANDS = {item.callback.__name__.rstrip("_"): item.callback for item in app.registered_commands}
KINDS = {
    name: inspect.signature(inspect.unwrap(function), eval_str=True).parameters["settings"].annotation
    for name, function in COMMANDS.items()
}
WITH_SETTINGS = [name for name, kind in KINDS.items() if fields_of(kind)]


def options(verb):
    return {option for parameter in get_command(app).commands[verb].params for option in parameter.opts}


def test_the_sections_of_the_file_are_the_verbs_with_settings():
    assert set(toml.SECTIONS) == set(WITH_SETTINGS)
    assert {KINDS[name].section for name in WITH_SETTINGS} == set(WITH_SETTINGS)
    assert len(COMMANDS) > len(WITH_SETTINGS) > 5


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_takes_the_file_and_json(verb):
    assert {"--config", "-c", "--json"} <= options(verb)


@pytest.mark.parametrize("verb", WITH_SETTINGS)
def test_every_setting_is_an_option_or_reached_by_set(verb):
    wanted = {"--" + name.replace("_", "-") for name in fields_of(KINDS[verb])}
    assert "--list-settings" in options(verb)
    assert wanted <= options(verb) or "--set" in options(verb)
    for name, (_, field) in fields_of(KINDS[verb]).items():
        assert field.description and not field.description.endswith("."), f"{verb}: {name} needs a description"


@pytest.mark.parametrize("verb", WITH_SETTINGS)
def test_list_settings_needs_nothing_else_and_can_be_read_back(sanp, verb, tmp_path):
    result = sanp(verb, "--list-settings")
    assert result.returncode == 0, result.stderr
    (tmp_path / "sanp.toml").write_text(result.stdout, encoding="utf-8")
    assert tomllib.loads(result.stdout).keys() == {verb}
    assert toml.resolve(KINDS[verb], tmp_path / "sanp.toml", {}) == KINDS[verb]()


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_mistake_in_the_file_is_one_sentence_in_every_verb(sanp, verb, tmp_path):
    path = tmp_path / "sanp.toml"
    path.write_text("[nonsense]\na = 1\n" if verb not in WITH_SETTINGS else f"[{verb}]\nnonsense = 1\n")
    words = {"export": ["x"], "compile": ["x"], "report": ["x"], "validate": ["x", "--checkpoint", "y"]}
    words["targets"] = ["list"]
    given = words.get(verb, ["x"] if verb in ("profile", "inspect", "analyze") else [])
    output = ["-o", tmp_path / "out"] if "--output" in options(verb) else []
    result = sanp(verb, *given, *output, "--config", path)
    assert result.returncode == 2 and "nonsense" in result.stderr, result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_file_reaches_a_verb_and_a_flag_wins(sanp, bundle, tmp_path):
    path = tmp_path / "sanp.toml"
    path.write_text("[profile]\nduration = 0.3\nbatch = 2\nallow_invalid = true\n")
    first = json.loads(sanp("profile", bundle, "--config", path, "--json").stdout)["settings"]
    assert (first["batch"], first["duration_s"]) == (2, 0.3)
    second = json.loads(sanp("profile", bundle, "-c", path, "--batch", 1, "--json").stdout)["settings"]
    assert (second["batch"], second["duration_s"]) == (1, 0.3)
    refused = sanp("profile", bundle, "-c", path, "--batch", "many")
    assert refused.returncode == 2 and "[profile] batch is 'many', expected to be a valid integer" in refused.stderr
    assert sanp("profile", bundle, "-c", path, "--no-allow-invalid", "--duration", "0").returncode == 2


def test_help_shows_defaults_choices_and_parts(sanp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = sanp("compile", "--help").stdout
    for words in ("fp32|fp16", "(default: host)", "Only for targets that run in TensorRT", "--no-tune"):
        assert words in text, words
    assert "Add the output macs [N]" in sanp("export", "--help").stdout

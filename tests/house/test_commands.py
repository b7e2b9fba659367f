"""The commands that the documentation shows exist: verbs, options, make targets, scripts, test files."""

from __future__ import annotations

import re
import shlex

import pytest
from typer.main import get_command

from sanp.cli.app import app
from tests.house.tree import ROOT, pages

VERBS = get_command(app).commands
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))


def shown(program: str) -> list[tuple[str, str]]:
    """(page, command) of every line of code and every inline code that starts with `program`."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        lines = re.findall(rf"(?m)^(?:    |\t)?(?:\w+=\S+ )*({program} .+)$", text)
        inline = re.findall(rf"`({program} [^`]+)`", text)
        for command in [*lines, *inline]:
            # Up to a comment, a redirection or an ellipsis; inline code may run over two lines of a paragraph.
            found.append((str(page.relative_to(ROOT)), " ".join(re.split(r"\s+#| > |\.\.\.|;|&&", command)[0].split())))
    return sorted(set(found))


def words(command: str) -> list[str]:
    return shlex.split(command.replace("[", " ").replace("]", " ").replace("|", " ").replace("'", " "))


@pytest.mark.parametrize(("page", "command"), shown("sanp"))
def test_verbs_and_options(page, command):
    verb, *rest = words(command)[1:]
    if verb.startswith("-") or verb == "VERB":
        return
    assert verb in VERBS, f"{page}: {command}"
    known = {option for parameter in VERBS[verb].params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("-") and word != "-":
            assert word.split("=")[0] in known | {"--help", "--debug"}, f"{page}: {word} of {command}"


@pytest.mark.parametrize(("page", "command"), shown("make"))
def test_make_targets(page, command):
    wanted = [word for word in words(command)[1:] if re.fullmatch(r"[a-z-]+", word)]
    assert set(wanted) <= TARGETS, f"{page}: {command}"


@pytest.mark.parametrize(("page", "command"), [*shown("python3?"), *shown(r"\S+/bin/python")])
def test_scripts_and_modules(page, command):
    """Files of this repository; what is in a bundle on a board has no path here."""
    parts = words(command)
    if "-m" in parts:
        module = parts[parts.index("-m") + 1]
        if any(part.isupper() for part in module.split(".")):
            wanted = []  # a pattern such as benchmarks.FOLDER.SCRIPT
        elif module in ("pip", "venv", "pytest"):
            wanted = [word for word in parts if word.startswith("tests/")]
        else:
            assert module.startswith(("sanp_runtime", "benchmarks")), f"{page}: {command}"
            base = ROOT / "runtime" if module.startswith("sanp") else ROOT
            path = base / module.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file(), f"{page}: {command}"
            wanted = []
    else:
        wanted = [word for word in parts[1:2] if word.endswith(".py")]
    assert all((ROOT / word.split("::")[0]).exists() for word in wanted), f"{page}: {command}"


def test_links_lead_somewhere():
    for page in pages():
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)}: {link}"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_example_of_a_help_text(verb):
    """Every verb shows one example, whose options are its own."""
    example = re.search(r"Example: (sanp .+)", VERBS[verb].help or "")
    assert example is not None, f"sanp {verb} --help has no example"
    test_verbs_and_options(f"sanp {verb} --help", example.group(1))
    assert shlex.split(example.group(1))[1] == verb

"""The page: style and frame from page.html.j2, and the sections in their order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanp.report.sections import SECTIONS, summary
from sanp_targets.errors import ConfigError


def render(results: Mapping[str, Any]) -> str:
    """The page as text; ConfigError if Jinja2 is not installed, KeyError if a result lacks a field."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as error:
        raise ConfigError(
            "jinja2 is not installed, and reports are written with it; run `pip install 'sanp-toolchain[report]'`"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = []
    for section in SECTIONS:
        data = section.data(results)
        if data is not None:
            name = section.__name__.rpartition(".")[2]
            parts.append(Markup(environment.get_template(f"sections/{name}.html.j2").render(data)))
    title = f"{results['bundle']['name']}: {summary.headline(results['profile'])}"
    # The parts come from our own templates, which escape every value: they are markup already.
    return environment.get_template("page.html.j2").render(title=title, sections=parts)

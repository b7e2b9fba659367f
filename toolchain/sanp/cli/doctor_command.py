"""`sanp doctor`: can this machine train, export, compile, measure?"""

from __future__ import annotations

from sanp.cli.console import out, print_json, styled
from sanp.cli.verb import verb
from sanp.settings.base import Settings

_MARKS = {"ok": ("ok      ", "green"), "missing": ("missing ", "bold red"), "note": ("note    ", "yellow")}


@verb()
def doctor(*, settings: Settings, as_json: bool) -> None:
    """Tell what this machine can and cannot do, and how to mend it. Exit code 0 even if something is missing.

    Example: sanp doctor
    """
    from sanp.pipeline.doctor import examine

    findings = examine()
    if as_json:
        print_json([vars(finding) for finding in findings])
        return
    for finding in findings:
        out.print(styled(_MARKS[finding.state], f"{finding.what}: {finding.detail}"))
        if finding.cure and finding.state != "ok":
            out.print(f"        mend: {finding.cure}")

"""`sanp doctor`: can this machine train, export, compile, measure?"""

from __future__ import annotations

from sanp.cli.console import out, print_json
from sanp.cli.options import Json

_MARKS = {"ok": "[green]ok[/]      ", "missing": "[bold red]missing[/] ", "note": "[yellow]note[/]    "}


def doctor(json_: Json = False) -> None:
    """Tell what this machine can and cannot do, and how to mend it. Exit code 0 even if something is missing.

    Example: sanp doctor
    """
    from rich.markup import escape

    from sanp.pipeline.doctor import examine

    findings = examine()
    if json_:
        print_json([vars(finding) for finding in findings])
        return
    for finding in findings:
        out.print(f"{_MARKS[finding.state]}{finding.what}: {escape(finding.detail)}")
        if finding.cure and finding.state != "ok":
            out.print(f"        mend: {escape(finding.cure)}")

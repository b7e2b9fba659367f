"""Checks as a JUnit XML file, which every continuous integration server can show."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from sanp.regression.check import Check


def junit_xml(suite: str, name: str, checks: Sequence[Check], seconds: float = 0.0) -> bytes:
    """One suite; suite: of the verb, such as "sanp profile"; name: what was checked, the class of every case.

    The elements are those that servers agree on: testsuites, testsuite (name, tests, failures, time), testcase
    (classname, name), failure (message) and system-out.
    """
    failures = sum(not check.passed for check in checks)
    counts = {"tests": str(len(checks)), "failures": str(failures), "errors": "0", "time": f"{seconds:.3f}"}
    root = ElementTree.Element("testsuites", counts)
    group = ElementTree.SubElement(root, "testsuite", {"name": suite, **counts})
    for check in checks:
        case = ElementTree.SubElement(
            group, "testcase", {"classname": f"{suite}.{_printable(name)}", "name": check.name}
        )
        if check.passed:
            ElementTree.SubElement(case, "system-out").text = _printable(check.message)
        else:
            ElementTree.SubElement(case, "failure", {"message": _printable(check.message)})
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _printable(text: str) -> str:
    """XML 1.0 has no control characters, not even as references (section 2.2)."""
    return "".join(char if char.isprintable() or char in "\t\n" else "?" for char in text)

"""Energy counters of an x86 processor (RAPL): one for each package, and for parts of it."""

from __future__ import annotations

from typing import Dict, Optional

from sanp_targets.pseudo_files import Root, paths, read, read_int

_DOMAINS = "sys/class/powercap/intel-rapl:*"


def energy_uj(root: Root = "/") -> Dict[str, int]:
    """Domain ("package-0", "package-0/core") -> microjoules; a counter that may not be read is left out."""
    found = {}
    for folder in paths(root, _DOMAINS):
        value = read_int(root, f"{folder}/energy_uj")
        if value is not None:
            found[_name(root, folder)] = value
    return found


def ranges_uj(root: Root = "/") -> Dict[str, Optional[int]]:
    """Domain -> highest value of its counter, from which it goes on at zero; None where that is not told."""
    return {_name(root, folder): read_int(root, f"{folder}/max_energy_range_uj") for folder in paths(root, _DOMAINS)}


def is_hidden(root: Root = "/") -> bool:
    """Whether there are counters of which none may be read: since 2020 the kernel shows them to root alone."""
    return bool(paths(root, _DOMAINS)) and not energy_uj(root)


def _name(root: Root, folder: str) -> str:
    """The folder intel-rapl:0:1 is a part of intel-rapl:0."""
    parent, _, rest = folder.rpartition("/")
    own = read(root, f"{folder}/name") or rest
    pieces = rest.split(":")
    if len(pieces) < 3:
        return own
    package = f"{parent}/{':'.join(pieces[:-1])}"
    return f"{_name(root, package)}/{own}"

"""Doubles of nvpmodel, jetson_clocks and sudo: shell scripts that act on a fake tree as the tools do on a board.

They are no proof that the real tools are called rightly: their options and their lines are those that NVIDIA documents
and that users recorded, and no board was at hand.
"""

from __future__ import annotations

import os
from pathlib import Path

# As in /etc/nvpmodel.conf of an Orin Nano with the mode Super: numbers in another order than one would think.
CONF = """
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=3 NAME=7W >
CPU_ONLINE CORE_0 1
< PM_CONFIG DEFAULT=1 >
"""
NVPMODEL = """
echo "nvpmodel $*" >> {root}/calls
if [ "$1" = -m ] && [ "$2" = 3 ]; then  # fewer memory channels: only after a restart
    echo "NVPM WARN: Reboot required for changing to this power mode: 3"
    read answer || exit 0
fi
[ ! -e {root}/stuck ] || {{ echo "NVPM ERROR: Error opening /var/lib/nvpmodel/status: 13" >&2; exit 255; }}
[ "$1" = -m ] && printf 'pmode:%04d\\n' "$2" > {root}/var/lib/nvpmodel/status
"""
JETSON_CLOCKS = """
echo "jetson_clocks $1" >> {root}/calls
policy={root}/sys/devices/system/cpu/cpufreq/policy0
case "$1" in
--store) [ ! -e "$2" ] || {{ echo "Error: $2 exists" >&2; exit 1; }}; cp $policy/scaling_min_freq "$2" ;;
--restore) cp "$2" $policy/scaling_min_freq ;;
"") cp $policy/scaling_max_freq $policy/scaling_min_freq ;;
esac
"""
# Without a password, as on the images of NVIDIA; for whoever runs the tests without being root.
SUDO = 'shift\nexec "$@"\n'


def install(folder: Path, root: Path, monkeypatch, **more: str) -> Path:
    """Put the doubles first on the path of this process, and give the tree `root` power modes. more: other scripts."""
    scripts = {"nvpmodel": NVPMODEL, "jetson_clocks": JETSON_CLOCKS, "sudo": SUDO, **more}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        path = folder / name
        path.write_text("#!/bin/sh\n" + (text.format(root=root) if "{root}" in text else text))
        path.chmod(0o755)
    (root / "etc/nvpmodel.conf").write_text(CONF)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def calls(root: Path) -> list[str]:
    """The commands that were given to the doubles."""
    path = root / "calls"
    return path.read_text().splitlines() if path.exists() else []

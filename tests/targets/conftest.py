"""Fake device trees: the files of a board under a temporary root, so that every reader runs on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest

JETSON = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/cpuinfo": "".join(
        f"processor\t: {i}\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd asimdhp asimddp\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xd42\n\n"
        for i in range(6)
    ),
    "proc/meminfo": "MemTotal:        7802916 kB\nMemFree: 1 kB\n",
    "proc/stat": "cpu  100 0 50 1000 0 0 0 7 0 0\ncpu0 50 1 20 500 5 3 2 7 0 0\ncpu1 1 2 3\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=1.26 avg300=2.10 total=123456\nfull avg10=0.00 total=0\n",
    "proc/sys/kernel/osrelease": "5.15.136-tegra\n",
    "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\n',
    "etc/nv_tegra_release": "# R36 (release), REVISION: 3.0\n",
    "var/lib/nvpmodel/status": "pmode:0000\n",
    "sys/devices/system/cpu/cpufreq/policy0/affected_cpus": "0 1 2 3\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1510400\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "115200\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1510400\n",
    "sys/devices/system/cpu/cpufreq/policy4/affected_cpus": "4 5\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq": "1113600\n",
    "sys/devices/system/cpu/cpu0/cache/index0/level": "1",
    "sys/devices/system/cpu/cpu0/cache/index0/type": "Data",
    "sys/devices/system/cpu/cpu0/cache/index0/size": "64K",
    "sys/devices/system/cpu/cpu0/cache/index3/level": "3",
    "sys/devices/system/cpu/cpu0/cache/index3/type": "Unified",
    "sys/devices/system/cpu/cpu0/cache/index3/size": "2048K",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "48531",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
    "sys/class/thermal/thermal_zone1/temp": "-256000",
    "sys/class/thermal/thermal_zone2/type": "broken-thermal",
    "sys/class/thermal/thermal_zone2/temp": "",
    "sys/class/thermal/cooling_device0/type": "pwm-fan",
    "sys/class/thermal/cooling_device0/cur_state": "3",
    "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0",
    "sys/class/thermal/cooling_device1/cur_state": "0",
    "sys/class/hwmon/hwmon1/name": "soctherm_oc",
    "sys/class/hwmon/hwmon1/oc1_event_cnt": "2",
}

DESKTOP = {
    "proc/cpuinfo": "".join(
        f"processor\t: {i}\nvendor_id\t: GenuineIntel\nmodel name\t: Example 9000\ncpu MHz\t\t: {3000 + i}.5\n"
        f"physical id\t: 0\ncore id\t: {i % 2}\nflags\t\t: fpu avx avx2 fma\n\n"
        for i in range(4)
    ),
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "11",
    "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": "0",
    "sys/class/hwmon/hwmon0/name": "coretemp",
    "sys/class/hwmon/hwmon0/temp1_input": "41000",
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    return plant(tmp_path, JETSON)


@pytest.fixture
def desktop(tmp_path: Path) -> Path:
    return plant(tmp_path, DESKTOP)

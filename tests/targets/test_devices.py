"""Fingerprints, sensors and pinning on fake boards and on this machine."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from sanp_targets.device import describe, device_id, fingerprint
from sanp_targets.pinning import choose_cpus, pinned
from sanp_targets.sensors import Reading, clock_drop, read_sensors, throttle_events
from sanp_targets.sensors.registry import GPU_SENSORS, SENSORS

NOTHING = (
    "clock of the processor", "temperatures", "cooling levels of the processor", "CPU quota of the container"
)  # fmt: skip


def test_jetson_fingerprint(jetson):
    device = fingerprint(jetson)
    assert device["board"] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert device["cpu_model"] == "Cortex-A78AE"
    assert device["cores"] == 6
    assert device["isa"] == ["asimd", "asimdhp", "asimddp"]
    assert device["caches"] == {"L1d": "64K", "L3": "2048K"}
    assert device["memory_mb"] == 7620
    assert device["power_mode"] == "pmode:0000"
    assert device["bsp"].startswith("# R36")
    assert device["os"] == "Ubuntu 22.04.4 LTS"
    assert device["virtual"] is None
    assert [row["governor"] for row in device["frequency"]] == ["schedutil", "performance"]
    assert device["governor"] == "performance+schedutil"
    assert device["frequency"][1]["min_mhz"] is None
    assert "Jetson Orin Nano" in describe(device)
    json.dumps(device, allow_nan=False)


def test_jetson_sensors(jetson):
    reading = read_sensors(jetson)
    assert reading.clock_mhz == {"policy0": 1510.4, "policy4": 729.6}
    assert reading.temperature_c == {"cpu-thermal/0": 48.531}, "zones that are off must be absent, not zero"
    assert reading.throttle == {"hwmon1/oc1_event_cnt": 2}
    assert reading.levels == {"cpufreq-cpu0/1": 0}, "a fan is not a throttle"
    assert reading.missing == ("CPU quota of the container",), "there is no /proc/self/cgroup"
    assert reading.steal_ticks == 7
    assert reading.busy_ticks == {"cpu0": 76}, "idle, waiting for a disk and stolen time are not work; cpu1 is cut off"
    assert reading.waited_us == 123456


def test_desktop(desktop):
    device, reading = fingerprint(desktop), read_sensors(desktop)
    assert device["cpu_model"] == "Example 9000"
    assert (device["cores"], device["physical_cores"]) == (4, 2)
    assert reading.clock_mhz["cpu3"] == 3003.5
    assert reading.temperature_c == {"coretemp/temp1": 41.0}
    assert reading.throttle == {"cpu0/core_throttle_count": 11, "cpu1/package_throttle_count": 0}


def test_virtual_machine_has_no_clock(desktop):
    path = desktop / "proc/cpuinfo"
    path.write_text(path.read_text().replace("fma", "fma hypervisor"))
    assert fingerprint(desktop)["virtual"] == "virtual machine"
    assert "clock of the processor" in read_sensors(desktop).missing, (
        "the nominal clock that a guest sees is not a measurement"
    )


def test_nothing_known_is_none_and_missing(tmp_path):
    device, reading = fingerprint(tmp_path), read_sensors(tmp_path)
    assert device["cpu_model"] is None and device["memory_mb"] is None and device["board"] is None
    assert reading == Reading(missing=NOTHING)
    assert "unknown" in describe(device)


def test_garbage_in_sensors(jetson):
    (jetson / "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq").write_text("<unknown>")
    (jetson / "sys/class/thermal/thermal_zone0/temp").write_bytes(b"\xff\xfe")
    (jetson / "proc/cpuinfo").write_bytes(b"\xff: \x00\n: :\n\n\n")
    (jetson / "proc/stat").write_text("cpu 1 2\n")
    assert read_sensors(jetson).clock_mhz == {"policy4": 729.6}
    assert read_sensors(jetson).steal_ticks is None
    assert fingerprint(jetson)["cores"] is None


def test_this_machine():
    device = fingerprint()
    assert device["cores"]
    json.dumps(read_sensors().to_json(), allow_nan=False)


def test_device_id_ignores_what_changes_between_runs(jetson):
    device = fingerprint(jetson)
    later = dict(device, kernel="6.0", affinity=[0], frequency=[], power_mode="pmode:0001", memory_mb=7619)
    assert device_id(later) == device_id(device)
    assert device_id(dict(device, board="another")) != device_id(device)
    gpu = {"gpu": "Orin", "sm": "87", "tensorrt": "10.3.0", "cuda": "12.6", "driver": "12.6"}
    known = device_id(dict(device, accelerator=gpu))
    assert known != device_id(device)
    assert known != device_id(dict(device, accelerator=dict(gpu, tensorrt="10.16.2"))), "another TensorRT, other times"
    assert known == device_id(dict(device, accelerator=dict(gpu, driver="12.8")))
    assert "Orin, TensorRT 10.3.0" in describe(dict(device, accelerator=gpu))


def test_every_kind_of_sensor_is_a_field_of_a_reading(jetson):
    names = {field.name for field in dataclasses.fields(Reading)}
    assert set(SENSORS) <= names and set(SENSORS) == names - {"steal_ticks", "waited_us", "missing"} - set(GPU_SENSORS)
    for name, sensor in SENSORS.items():
        assert sensor(jetson) == getattr(read_sensors(jetson), name) != {}


def test_raspberry_pi_throttling_is_read_in_hexadecimal(tmp_path):
    path = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    path.parent.mkdir(parents=True)
    path.write_text("50002\n")
    reading = read_sensors(tmp_path)
    assert reading.throttle == {"firmware/get_throttled since boot": 5}
    assert reading.levels == {"firmware/get_throttled now": 2} and "firmware of the Raspberry Pi" not in reading.missing
    path.write_text("never\n")
    assert read_sensors(tmp_path).throttle == {} and "firmware of the Raspberry Pi" in read_sensors(tmp_path).missing


def test_events_between_readings():
    readings = [
        Reading({"policy0": 1500.0, "once": 1.0}, {}, {"a": 3, "b": 1}, {"cpufreq-cpu0/1": 0, "old": 1}),
        Reading({"policy0": 900.0}, {}, {"a": 3, "b": 2}, {"cpufreq-cpu0/1": 2, "old": 1}),
        Reading({"policy0": 1500.0}, {}, {"a": 3}, {"cpufreq-cpu0/1": 0, "old": 0}),
    ]
    assert throttle_events(readings) == [
        "b rose from 1 to 2",
        "cpufreq-cpu0/1 rose from 0 to 2",
        "old was at level 1 when the measurement began",
    ]
    assert clock_drop(readings) == {"policy0": 0.6}
    assert throttle_events([]) == [] and clock_drop([]) == {}


def test_choose_cpus(jetson):
    assert choose_cpus(2, jetson, allowed=range(6)) == [3, 2], "the fast cluster first"
    assert choose_cpus(5, jetson, allowed=range(6)) == [3, 2, 1, 0, 5]
    assert choose_cpus(7, jetson, allowed=range(6)) is None


def test_choose_distinct_cores(desktop):
    assert choose_cpus(2, desktop, allowed=range(4)) == [3, 2], "processors 1 and 3 share a core"
    assert choose_cpus(3, desktop, allowed=range(4)) == [3, 2, 1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_pinning_is_undone():
    before = os.sched_getaffinity(0)
    with pinned(choose_cpus(1)) as worked:
        assert not worked or len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pinned([10**5]) as worked:
        assert not worked
    with pinned(None) as worked:
        assert not worked

"""GPU clocks and throttle reasons, and sources that are missing one by one: fake trees, and a double of NVML."""

from __future__ import annotations

import ctypes

import pytest

from sanp_targets.sensors import gpu, gpu_clock_range, gpu_governor, nvml, read_sensors, throttle_events
from tests.targets.conftest import plant

DEVFREQ = "sys/class/devfreq"
ORIN = {
    f"{DEVFREQ}/17000000.gpu/cur_freq": "612000000\n",
    f"{DEVFREQ}/13e10000.vi/cur_freq": "1000000\n",
    "sys/class/thermal/cooling_device4/type": "devfreq-17000000.gpu",
    "sys/class/thermal/cooling_device4/cur_state": "0",
}
XAVIER = {f"{DEVFREQ}/17000000.gv11b/cur_freq": "1377000000\n"}


@pytest.mark.parametrize(("files", "clock"), [(ORIN, {"17000000.gpu": 612.0}), (XAVIER, {"17000000.gv11b": 1377.0})])
def test_the_clock_of_a_board(jetson, files, clock):
    plant(jetson, files)
    assert read_sensors(jetson, gpu=True).gpu_clock_mhz == clock
    assert read_sensors(jetson).gpu_clock_mhz == {}, "a measurement on the processor does not ask for the GPU"


def test_a_board_whose_gpu_is_slowed_down(jetson):
    plant(jetson, ORIN)
    before = read_sensors(jetson, gpu=True)
    assert before.levels == {"cpufreq-cpu0/1": 0, "devfreq-17000000.gpu/4": 0}
    assert throttle_events([before, before]) == []
    plant(jetson, {"sys/class/thermal/cooling_device4/cur_state": "3", f"{DEVFREQ}/17000000.gpu/cur_freq": "306000000"})
    after = read_sensors(jetson, gpu=True)
    assert throttle_events([before, after]) == ["devfreq-17000000.gpu/4 rose from 0 to 3"]
    assert throttle_events([after, after]) == ["devfreq-17000000.gpu/4 was at level 3 when the measurement began"]
    assert throttle_events([read_sensors(jetson)]) == [], "the GPU says nothing about a run on the processor"
    assert gpu_clock_range([before, after]) == {"17000000.gpu": (306.0, 612.0)}


def test_every_source_is_missing_by_its_own_name(jetson):
    """Counters of a quota used to stand in for those of the board: one kind, and one of its sources answered."""
    plant(jetson, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.stat": "nr_throttled 0\nthrottled_usec 0\n"})
    assert read_sensors(jetson).missing == ()
    (jetson / "sys/class/hwmon/hwmon1/oc1_event_cnt").unlink()
    (jetson / "sys/class/thermal/cooling_device1/cur_state").unlink()
    reading = read_sensors(jetson, gpu=True)
    assert "cgroup/nr_throttled" in reading.throttle
    assert reading.missing == (
        "clock of the GPU",
        "over-current counters of the board",
        "cooling levels of the processor",
        "throttle reasons of the GPU",
    )


def test_a_limit_without_counters_is_missing(jetson):
    plant(jetson, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"})
    assert read_sensors(jetson).missing == ("CPU quota of the container",)


def test_a_desktop_has_no_sources_of_boards(desktop):
    missing = read_sensors(desktop).missing
    assert not [name for name in missing if "board" in name or "Raspberry" in name]
    (desktop / "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count").unlink()
    (desktop / "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count").unlink()
    assert "thermal counters of the processor" in read_sensors(desktop).missing


class Nvml:
    """The functions of libnvidia-ml that are called, as the driver declares them."""

    def __init__(self, mhz: int = 1410, reasons: int = 0, status: int = 0) -> None:
        self.mhz, self.reasons, self.status, self.open, self.index = mhz, reasons, status, 0, None

    def nvmlInit_v2(self) -> int:
        self.open += self.status == 0
        return self.status

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle) -> int:
        assert isinstance(index, ctypes.c_uint)
        self.index = index.value
        handle._obj.value = 4711
        return 0

    def nvmlDeviceGetClockInfo(self, device, kind, result) -> int:
        assert device.value == 4711 and kind.value == 1, "NVML_CLOCK_SM"
        result._obj.value = self.mhz
        return 0

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, device, result) -> int:
        assert isinstance(result._obj, ctypes.c_ulonglong)
        result._obj.value = self.reasons
        return 0


@pytest.fixture
def driver(monkeypatch):
    """A function that puts a double of the driver's library on this machine, and no board's files."""

    def install(library):
        monkeypatch.setattr(nvml, "open_library", lambda: library)
        monkeypatch.setattr(gpu, "paths", lambda root, pattern: [])
        return library

    return install


IDLE, FIXED_CLOCKS, POWER, THERMAL, HARDWARE, BRAKE = 0x1, 0x2, 0x4, 0x20, 0x8 | 0x40, 0x80


@pytest.mark.parametrize(
    ("reasons", "names"),
    [
        (IDLE, []),
        (FIXED_CLOCKS | 0x100, []),
        (POWER, ["power cap"]),
        (THERMAL | IDLE, ["thermal slowdown"]),
        (HARDWARE, ["hardware slowdown", "hardware thermal slowdown"]),
        (BRAKE, ["power brake"]),
    ],
)
def test_what_the_driver_says_against_the_users_will_is_throttling(driver, reasons, names):
    library = driver(Nvml(reasons=reasons))
    reading = read_sensors(gpu=True)
    assert reading.gpu_clock_mhz == {"gpu0": 1410.0} and library.open == 0
    assert [name for name, value in reading.levels.items() if value and name.startswith("gpu0/")] == [
        f"gpu0/{name}" for name in names
    ]
    expected = [f"gpu0/{name} was at level 1 when the measurement began" for name in names]
    assert [event for event in throttle_events([reading]) if event.startswith("gpu0")] == sorted(expected)


def test_the_gpu_that_cuda_sees_first_is_asked(driver, monkeypatch):
    library = driver(Nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert set(read_sensors(gpu=True).gpu_clock_mhz) == {"gpu2"} and library.index == 2


@pytest.mark.parametrize("library", [None, Nvml(status=9), object()], ids=["no driver", "not running", "too old"])
def test_without_the_driver_both_are_missing(driver, library):
    if type(library) is object:

        class Old(Nvml):
            nvmlDeviceGetCurrentClocksThrottleReasons = property()

        library = Old()
    driver(library)
    reading = read_sensors(gpu=True)
    assert {"clock of the GPU", "throttle reasons of the GPU"} <= set(reading.missing)


def test_the_governor_of_a_board(jetson):
    files = {"governor": "nvhost_podgov\n", "min_freq": "306000000\n", "max_freq": "624750000\n"}
    plant(jetson, {**ORIN, **{f"{DEVFREQ}/17000000.gpu/{name}": text for name, text in files.items()}})
    name, state = "17000000.gpu", {"governor": "nvhost_podgov", "min_mhz": 306.0, "max_mhz": 624.75, "fixed": False}
    assert gpu_governor(jetson) == {name: state}, "the video input is no GPU"
    plant(jetson, {f"{DEVFREQ}/17000000.gpu/min_freq": "624750000\n"})
    assert gpu_governor(jetson)[name]["fixed"] is True, "jetson_clocks leaves the governor and raises the lowest clock"
    plant(jetson, {f"{DEVFREQ}/17000000.gpu/{part}": "" for part in files})
    assert gpu_governor(jetson)[name] == {"governor": None, "min_mhz": None, "max_mhz": None, "fixed": None}


class Governed(Nvml):
    def nvmlDeviceGetPersistenceMode(self, device, result) -> int:
        result._obj.value = 1
        return 0

    def nvmlDeviceGetApplicationsClock(self, device, kind, result) -> int:
        result._obj.value = 1785
        return 0 if kind.value == 1 else 3


def test_the_governor_of_a_card(driver, jetson):
    driver(Governed())
    assert gpu_governor("/") == {"gpu0": {"persistence": True, "application_mhz": 1785.0}}
    driver(Nvml())
    assert gpu_governor("/") == {"gpu0": {"persistence": None, "application_mhz": None}}, "an older driver"
    driver(None)
    assert gpu_governor("/") == {}

"""Power rails: files and lines as users recorded them on boards, counters that wrap, and sampling beside other work."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from sanp_targets.power import Meter, NoPower, find_meter, hwmon, meters, pmic, rapl, sampling, tegrastats
from sanp_targets.power.meters import ENERGY, POWER, total_of
from sanp_targets.power.sampler import Trace
from sanp_targets.sensors import nvml
from tests.fakes import jetson_tools
from tests.targets.conftest import plant
from tests.targets.test_gpu_sensors import Nvml

HWMON = "sys/class/hwmon/hwmon"


def ina3221(index: int, rails: dict[int, tuple[str, int, int]]) -> dict[str, str]:
    """Files of one monitor: channel -> (label, mV, mA), and the shunt voltages that are no rails."""
    files = {f"{HWMON}{index}/name": "ina3221\n", f"{HWMON}{index}/in7_label": "sum of shunt voltages\n",
             f"{HWMON}{index}/in7_input": "1000\n", f"{HWMON}{index}/in4_input": "12\n"}  # fmt: skip
    for channel, (label, volts, amps) in rails.items():
        files[f"{HWMON}{index}/in{channel}_label"] = f"{label}\n"
        files[f"{HWMON}{index}/in{channel}_input"] = f"{volts}\n"
        files[f"{HWMON}{index}/curr{channel}_input"] = f"{amps}\n"
    return files


ORIN_NANO = ina3221(1, {1: ("VDD_IN", 5040, 1200), 2: ("VDD_CPU_GPU_CV", 5032, 240), 3: ("VDD_SOC", 5032, 280)})
AGX_ORIN = {
    **ina3221(3, {1: ("VDD_GPU_SOC", 19152, 160), 2: ("VDD_CPU_CV", 19152, 48), 3: ("VIN_SYS_5V0", 4960, 900)}),
    **ina3221(4, {1: ("NC", 5000, 10), 2: ("VDDQ_VDD2_1V8AO", 4960, 96), 3: ("NC", 5000, 10)}),
}
THOR = {
    **ina3221(0, {1: ("VDD_GPU", 12040, 640), 2: ("VDD_CPU_SOC_MSS", 12040, 960), 3: ("VIN_SYS_5V0", 5088, 1740)}),
    f"{HWMON}5/name": "ina238\n",
    f"{HWMON}5/power1_input": "26686000\n",
}


def test_an_orin_nano_has_one_rail_for_all(jetson):
    plant(jetson, ORIN_NANO)
    meter = find_meter(jetson)
    assert meter.read() == {
        "VDD_IN": 6048.0, "VDD_CPU_GPU_CV": pytest.approx(1207.68), "VDD_SOC": pytest.approx(1408.96)
    }  # fmt: skip
    assert (meter.kind, meter.total, meter.note) == (POWER, ("VDD_IN",), None)


def test_an_agx_orin_has_none_so_that_rails_are_added(jetson):
    plant(jetson, AGX_ORIN)
    meter = find_meter(jetson)
    assert meter.total == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"), "NC is no rail"
    assert "carrier board" in meter.note


def test_a_thor_has_a_second_kind_of_monitor(jetson):
    plant(jetson, THOR)
    assert find_meter(jetson).total == ("VIN",) and hwmon.rails_mw(jetson)["VIN"] == 26686.0


def test_a_rail_that_cannot_be_read_is_absent_and_not_zero(jetson):
    plant(jetson, {**ORIN_NANO, f"{HWMON}1/curr2_input": ""})
    assert set(hwmon.rails_mw(jetson)) == {"VDD_IN", "VDD_SOC"}


# Lines that users recorded: plain numbers on JetPack 4, units on 5 and 6, three values on 7, no GPU on a Thor.
LINES = {
    "JetPack 4, AGX Xavier": (
        "RAM 2481/15692MB (lfb 2769x4MB) SWAP 0/7846MB (cached 0MB) CPU [1%@1190,0%@1190,off,off] EMC_FREQ 0% "
        "GR3D_FREQ 17% AO@37.5C GPU@38C Tboard@38C Tdiode@40.75C PMIC@100C CPU@38.5C thermal@38.15C GPU 0/0 CPU "
        "311/311 SOC 934/934 CV 0/0 VDDRQ 155/155 SYS5V 1888/1888",
        {"GPU": 0, "CPU": 311, "SOC": 934, "CV": 0, "VDDRQ": 155, "SYS5V": 1888}, (17, None),
    ),
    "JetPack 5, AGX Orin": (
        "RAM 4096/30536MB (lfb 200x4MB) SWAP 0/15268MB (cached 0MB) CPU [10%@2201,5%@2201,off,off] EMC_FREQ 0%@3199 "
        "GR3D_FREQ 3%@611 GR3D2_FREQ 0%@611 cpu@50C soc0@49C cv0@-256C VDD_GPU_SOC 3200mW/3210mW VDD_CPU_CV "
        "1600mW/1610mW VIN_SYS_5V0 5000mW/5010mW NC 0mW/0mW VDDQ_VDD2_1V8AO 400mW/400mW NC 0mW/0mW",
        {"VDD_GPU_SOC": 3200, "VDD_CPU_CV": 1600, "VIN_SYS_5V0": 5000, "VDDQ_VDD2_1V8AO": 400}, (3, 611),
    ),
    "JetPack 6, Orin Nano": (
        "08-23-2026 13:57:46 RAM 3595/7607MB (lfb 1x1MB) SWAP 11/3804MB (cached 0MB) CPU [100%@1728,1%@1728] GR3D_FREQ "
        "0% cpu@51C soc2@50.562C gpu@50.625C tj@51.781C VDD_IN 5832mW/5852mW VDD_CPU_GPU_CV 1307mW/1327mW VDD_SOC "
        "1468mW/1468mW",
        {"VDD_IN": 5832, "VDD_CPU_GPU_CV": 1307, "VDD_SOC": 1468}, (0, None),
    ),
    "JetPack 7, Orin": (
        "07-31-2026 14:45:55 RAM 905/7620MB (lfb 3x4MB) CPU [12%@972,off] GR3D_FREQ 45%@[918,918] cpu@39.8C/41.2C "
        "VDD_IN 5832mW/5852mW/6100mW VDD_CPU_GPU_CV 1307mW/1327mW/1400mW VDD_SOC 1468mW/1468mW/1500mW",
        {"VDD_IN": 5832, "VDD_CPU_GPU_CV": 1307, "VDD_SOC": 1468}, (45, 918),
    ),
    "JetPack 7, Thor": (
        "07-31-2026 14:45:55 RAM 86905/125772MB (lfb 368x4MB) CPU [12%@972,10%@972,off,33%@1890] cpu@39.812C "
        "soc012@38.812C gpu@39.906C VDD_GPU 3561mW/3561mW VDD_CPU_SOC_MSS 7910mW/7910mW VIN_SYS_5V0 7620mW/7620mW "
        "VIN 26686mW/26686mW",
        {"VDD_GPU": 3561, "VDD_CPU_SOC_MSS": 7910, "VIN_SYS_5V0": 7620, "VIN": 26686}, (None, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_lines_of_tegrastats(name):
    text, rails, gpu = LINES[name]
    line = tegrastats.parse(text)
    assert line.rails_mw == rails and (line.gpu_load, line.gpu_mhz) == gpu
    assert {key.lower() for key in line.temperature_c} >= {"cpu"} and min(line.temperature_c.values()) > 0


@pytest.mark.parametrize("text", ["", "VDD_IN 1/1", "RAM", "\x00" * 100, "tegrastats: command not found"])
def test_other_lines_are_empty(text):
    assert tegrastats.parse(text) == tegrastats.Line()


def test_which_rail_is_the_total():
    assert total_of(["VDD_SOC", "VDD_IN"]) == (("VDD_IN",), None)
    assert total_of(["GPU", "CPU", "SYS5V"]) == (("GPU", "CPU", "SYS5V"), None)


PMIC = """\
 3V7_WL_SW_A current(0)=0.09754250A
   3V3_SYS_A current(1)=0.05757449A
  VDD_CORE_A current(7)=1.25000000A
 3V7_WL_SW_V volt(8)=3.72117300V
   3V3_SYS_V volt(9)=3.31203700V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.13060000V
      BATT_V volt(25)=0.01464840V
"""


def test_rails_of_a_raspberry_pi_5():
    rails = pmic.parse(PMIC)
    assert set(rails) == {"3V7_WL_SW", "3V3_SYS", "VDD_CORE"}, "the input has no current"
    assert rails["VDD_CORE"] == pytest.approx(1000.0)
    assert pmic.parse("Command not registered") == {} and pmic.parse("X_A current(0)=1.2.3A") == {}


POWERCAP = "sys/class/powercap/intel-rapl:"


def test_counters_of_an_x86_processor(desktop):
    plant(desktop, {
        f"{POWERCAP}0/name": "package-0\n", f"{POWERCAP}0/energy_uj": "5000000\n",
        f"{POWERCAP}0/max_energy_range_uj": "262143328850\n",
        f"{POWERCAP}0:0/name": "core\n", f"{POWERCAP}0:0/energy_uj": "2000000\n",
    })  # fmt: skip
    meter = find_meter(desktop)
    assert (meter.name, meter.kind, meter.total) == ("RAPL", ENERGY, ("package-0",))
    assert meter.read() == {"package-0": 5000000, "package-0/core": 2000000}
    assert meter.ranges == {"package-0": 262143328850, "package-0/core": None}


def test_counters_that_only_root_may_read(desktop):
    plant(desktop, {f"{POWERCAP}0/name": "package-0\n", f"{POWERCAP}0/energy_uj": ""})
    assert rapl.is_hidden(desktop)
    with pytest.raises(NoPower, match="shown to root alone; measure as root"):
        find_meter(desktop)


def test_no_source_at_all(desktop):
    with pytest.raises(NoPower, match="no power rail can be read on this machine: no power monitor"):
        find_meter(desktop)


def meter_of(kind, **more):
    return Meter("double", kind, dict, ("a",), **more)


def test_mean_power_of_samples():
    rows = [{"a": 1000, "b": 1}, {"a": 3000}, {"a": 2000}, {"a": 2000}]
    trace = Trace(meter_of(POWER), 0.0, 4.0, [0, 1, 2, 3], rows)
    assert trace.watts() == {"a": 2.0}, "a rail that one sample lacks has no mean"
    assert trace.total_watts() == 2.0 and trace.window_s == 4.0
    assert Trace(meter_of(POWER)).watts() == {} and Trace(meter_of(POWER)).total_watts() is None


def test_a_counter_goes_on_at_zero():
    """3 J until the end of its range and 1 J after it, in two seconds."""
    trace = Trace(meter_of(ENERGY, ranges={"a": 10_000_000}), 0.0, 3.0, [0.5, 1.5, 2.5],
                  [{"a": 7_000_000}, {"a": 9_000_000}, {"a": 1_000_000}])  # fmt: skip
    assert trace.watts() == {"a": 2.0}
    unknown = Trace(meter_of(ENERGY), 0.0, 3.0, [0.5, 1.5, 2.5], [{"a": 7_000_000}, {"a": 9_000_000}, {"a": 0}])
    assert unknown.watts() == {"a": 1.0}, "without its range a step back counts nothing"
    assert Trace(meter_of(ENERGY), 0, 1, [0.5], [{"a": 1}]).watts() == {}, "one look at a counter says nothing"


def test_samples_are_taken_beside_the_work():
    threads, count = set(), iter(range(10**6))

    def read():
        threads.add(threading.current_thread())
        return {"a": next(count)} if next(count) % 3 else {}

    with sampling(Meter("double", POWER, read, ("a",)), 0.01) as trace:
        assert time.sleep(0.2) is None
    assert 5 <= len(trace.values) == len(trace.times_s) <= 30
    assert threading.current_thread() not in threads and not any(thread.is_alive() for thread in threads)
    assert trace.start_s <= trace.times_s[0] and trace.times_s[-1] <= trace.end_s
    assert trace.times_s == sorted(trace.times_s)


def test_sampling_ends_with_an_exception():
    before = threading.active_count()
    with pytest.raises(RuntimeError), sampling(Meter("double", POWER, lambda: {"a": 1.0}, ("a",)), 0.01):
        raise RuntimeError
    assert threading.active_count() == before


# A double of the real tool, which prints a line per interval until it is ended.
TEGRASTATS = """
echo $$ >> {root}/pids
while true; do
    echo "RAM 1/2MB CPU [1%@729] GR3D_FREQ 0% cpu@50C VDD_IN 5000mW/4000mW VDD_SOC 1000mW/1000mW"
    sleep 0.02
done
"""


def test_tegrastats_is_read_where_files_are_hidden(jetson, tmp_path, monkeypatch):
    """It is started twice, to see its rails and to sample, and is gone afterwards."""
    jetson_tools.install(tmp_path / "tools", jetson, monkeypatch, tegrastats=TEGRASTATS)
    for name in ("_jetson", "_rapl", "_raspberry_pi"):
        monkeypatch.setattr(meters, name, lambda root: None)
    meter = find_meter(interval_ms=20)
    assert (meter.name, meter.total, meter.stream[1:]) == ("tegrastats", ("VDD_IN",), ("--interval", "20"))
    with sampling(meter, 0.02) as trace:
        time.sleep(0.3)
    assert len(trace.values) >= 3 and trace.total_watts() == 5.0, "the value now, not the average"
    for process in (jetson / "pids").read_text().split():
        assert not Path(f"/proc/{process}").exists()


class Counting(Nvml):
    millijoules = 1500

    def nvmlDeviceGetTotalEnergyConsumption(self, device, result) -> int:
        result._obj.value = self.millijoules
        return 0


def test_the_counter_of_a_gpu(monkeypatch):
    library = Counting()
    monkeypatch.setattr(nvml, "open_library", lambda: library)
    monkeypatch.setattr(meters, "_jetson", lambda root: None)
    meter = find_meter(gpu=True)
    assert (meter.name, meter.kind, meter.total) == ("NVML", ENERGY, ("gpu0",))
    assert meter.read() == {"gpu0": 1_500_000.0} and "GPU alone" in meter.note and library.open == 0
    monkeypatch.setattr(nvml, "open_library", Nvml)
    assert nvml.energy_mj("/") == {}, "a driver without the function"

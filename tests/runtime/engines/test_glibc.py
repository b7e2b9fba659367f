"""The oldest glibc that loads the operator library: held, recorded, and named where it is too new."""

import ctypes.util
import os
import shutil
import struct
import subprocess

import pytest

from sanp_runtime.engines import glibc
from sanp_runtime.engines.glibc import glibc_floor, installed_glibc, needed_versions
from sanp_runtime.engines.shared_object import check_shared_object
from sanp_targets.errors import TargetError

FLOOR = (2, 28)  # manylinux_2_28, the floor of ONNX Runtime's own wheels
# What manylinux_2_28 lets a wheel expect of a system, of what we could need.
SYSTEM = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2"}


def version(text):
    return tuple(map(int, text.split(".")))


def test_the_library_loads_on_every_system_that_onnxruntime_supports(native_library):
    names = [name for name in needed_versions(native_library.read_bytes()) if name.startswith("GLIBC_")]
    too_new = [name for name in names if version(name.removeprefix("GLIBC_")) > FLOOR]
    assert names and not too_new, f"symbols of {too_new} keep the library from systems with glibc 2.28"


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf, the oracle, is not installed")
def test_readelf_finds_the_same_versions_and_only_libraries_of_the_system(native_library):
    run = [["readelf", option, str(native_library)] for option in ("-V", "-d")]
    versions, dynamic = (subprocess.run(line, capture_output=True, text=True, check=True).stdout for line in run)
    needs = versions.partition(".gnu.version_r")[2]
    expected = {line.split("Name: ")[1].split()[0] for line in needs.splitlines() if "Name: " in line}
    assert set(needed_versions(native_library.read_bytes())) == expected
    needed = {line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line}
    assert {name for name in needed if not name.startswith("ld-linux")} <= SYSTEM


def test_a_library_that_is_too_new_is_named_with_both_versions(native_library, monkeypatch):
    floor = glibc_floor(native_library)
    monkeypatch.setattr(glibc, "installed_glibc", lambda: "2.2.4")
    with pytest.raises(TargetError, match=rf"asks for glibc {floor}, here is 2\.2\.4.*pip install"):
        check_shared_object(native_library)
    monkeypatch.setattr(glibc, "installed_glibc", lambda: floor)
    check_shared_object(native_library)
    monkeypatch.setattr(glibc, "installed_glibc", lambda: None)  # another C library judges for itself
    check_shared_object(native_library)


def test_versions_are_numbers_and_not_text():
    assert glibc._numbers("2.9") < glibc._numbers("2.17") < glibc._numbers("2.17.1")
    assert version(installed_glibc()) >= (2, 17)


@pytest.mark.parametrize("damage", ["short", "garbage", "links", "empty"])
def test_damaged_files_have_no_versions(native_library, damage):
    content = bytearray(native_library.read_bytes())
    if damage == "short":
        content = content[:200]
    if damage == "garbage":
        content[40:64] = b"\xff" * 24
    if damage == "empty":
        content = bytearray()
    if damage == "links":
        content[40:48] = struct.pack("<Q", 64)
    assert isinstance(needed_versions(bytes(content)), tuple)


def test_a_folder_mounted_noexec_has_advice_of_its_own(native_library, monkeypatch):
    class Flags:
        f_flag = os.ST_NOEXEC

    monkeypatch.setattr(os, "statvfs", lambda path: Flags)
    with pytest.raises(TargetError, match=r"mounted noexec.*copy the bundle to another folder") as error:
        check_shared_object(native_library)
    assert "compile the bundle again" not in str(error.value)


def test_a_real_noexec_mount(native_library, tmp_path):
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    if libc.mount(b"none", str(tmp_path).encode(), b"tmpfs", 8, None) != 0:  # MS_NOEXEC
        pytest.skip(f"no right to mount here ({os.strerror(ctypes.get_errno())})")
    try:
        shutil.copy(native_library, tmp_path / "lib.so")
        with pytest.raises(TargetError, match="mounted noexec"):
            check_shared_object(tmp_path / "lib.so")
    finally:
        libc.umount(str(tmp_path).encode())

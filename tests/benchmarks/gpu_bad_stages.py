"""Stages that misbehave, one for each name, for the tests of the runner."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from benchmarks.gpu.visit.entry import Skipped


def run(place, record):
    record.note(begun=True)
    name = record.content["stage"]
    if name == "raises":
        raise KeyError("what a stage did not expect")
    if name == "hangs":
        child = subprocess.Popen(["sleep", "600"])
        record.append("rows", {"child": child.pid})
        time.sleep(600)
    if name == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "leaves":
        os._exit(0)
    if name == "skips":
        raise Skipped("there is no elephant")
    record.note(left=record.seconds_left())

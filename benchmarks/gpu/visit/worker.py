"""One stage in a process of its own; `runner` starts it. A stage that crashes or hangs takes nothing else with it."""

from __future__ import annotations

import faulthandler
import importlib
import json
import sys
import traceback
from pathlib import Path

from benchmarks.command_line import parser
from benchmarks.gpu.visit.entry import Skipped
from benchmarks.gpu.visit.record import FAILED, OK, SKIPPED, Record

# A stage that is still at work so shortly before its end has no time left for conclusions.
RESERVE_SECONDS = 4.0


def main() -> int:
    """Run `run(place, record)` of --module; 0 if it ended well or was skipped, 1 if it failed."""
    made = parser(__doc__)
    made.add_argument("--stage", required=True)
    made.add_argument("--module", required=True)
    made.add_argument("--output", type=Path, required=True)
    made.add_argument("--seconds", type=float, required=True)
    made.add_argument("--facts", default="{}", help="JSON that goes into the file as it is")
    made.add_argument("--rehearse", action="store_true")
    options = made.parse_args()
    faulthandler.enable()
    seconds = max(1.0, options.seconds - RESERVE_SECONDS)
    record = Record(options.output / f"{options.stage}.json", options.stage, seconds, json.loads(options.facts))
    try:
        from benchmarks.gpu.place import Gpu, Rehearsal

        place = Rehearsal(options.output) if options.rehearse else Gpu(options.output)
        record.content["facts"].update(place.facts())
        record.write()
        importlib.import_module(options.module).run(place, record)
    except Skipped as reason:
        record.end(SKIPPED, str(reason))
        return 0
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        record.end(FAILED, f"{type(error).__name__}: {error}"[:2000])
        return 1
    record.end(OK)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Intake in a separate process, as in Lambda; each sweep takes the given number of offers.

    python -m benchmarks.intake_process URL COUNT...

It prints the seconds for each count, and its peak memory.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

from benchmarks import endpoint


def main(url: str, counts: list[int]) -> None:
    """Run the sweeps, and print the results."""
    intake, told = endpoint.function("intake", url, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    seconds = []
    for count in counts:
        endpoint.offer(url, count)
        begun = time.perf_counter()
        answer = intake({"detail-type": "Scheduled Event"})
        seconds.append(time.perf_counter() - begun)
        if answer["taken"] != count:
            raise RuntimeError(f"{answer['taken']} of {count} offers were taken")
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    told.write(json.dumps({"seconds": seconds, "megabytes": int(peak[1]) / 1024 if peak else 0}))


if __name__ == "__main__":
    main(sys.argv[1], [int(count) for count in sys.argv[2:]])

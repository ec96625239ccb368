"""How long `import moto_codepipeline` takes after `import moto`, compared with the latter.

This is the processor time of new processes with compiled modules.
"""

import statistics
import subprocess
import sys

from benchmarks.endpoint import ENVIRONMENT
from benchmarks.figures import Figure
from local.aws.isolation import NO_HOME

ROUNDS = 11
CODE = """
import time
start = time.process_time()
import moto
between = time.process_time()
import moto_codepipeline
print(between - start, time.process_time() - between)
"""


def measure() -> list[Figure]:
    """The import of the package, as a share of moto's."""
    # The first round compiles.
    pairs = [seconds() for _ in range(ROUNDS + 1)][1:]
    moto = statistics.median(pair[0] for pair in pairs)
    return [
        Figure.of(
            "Local CodePipeline: import of its package",
            [ours / theirs for theirs, ours in pairs],
            f"× ({statistics.median(pair[1] for pair in pairs) * 1000:.0f} ms of processor time)",
            reference=f"`import moto` before it: {moto * 1000:.0f} ms",
            at_most=0.3,
            tolerance=0.3,
        )
    ]


def seconds() -> tuple[float, float]:
    """The import times of moto in a new process, and of the package after it."""
    command = [sys.executable, "-c", CODE]
    environment = {**ENVIRONMENT, **NO_HOME}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    theirs, ours = map(float, done.stdout.split())
    return theirs, ours

"""How long `import moto_codepipeline` takes after `import moto`, compared with the latter.

This is the processor time of new processes with compiled modules.
"""

import statistics
import sys

from benchmarks.endpoint import printed
from benchmarks.figures import Figure

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
    pairs = [printed(sys.executable, CODE) for _ in range(ROUNDS + 1)][1:]
    moto, ours = zip(*pairs, strict=True)
    return [
        Figure.ratio(
            "Local CodePipeline: import of its package",
            ours,
            moto,
            f"({statistics.median(ours) * 1000:.0f} ms of processor time)",
            reference=f"`import moto` before it: {statistics.median(moto) * 1000:.0f} ms",
            at_most=0.3,
            tolerance=0.3,
        )
    ]

"""The memory that the local Lambda keeps for functions that are created, invoked and deleted."""

from benchmarks.figures import Figure
from benchmarks.stack import memory
from tests.local.fixtures.cloud import make_function, running

FUNCTIONS = 1000
WARM_AFTER = 200


def measure() -> list[Figure]:
    """Create, invoke and delete functions, one after another."""
    warm = 0.0
    with running() as cloud:
        client = cloud.client("lambda")
        for number in range(1, FUNCTIONS + 1):
            name = f"function-{number}"
            make_function(cloud, name, "def handler(event, context): return 1")
            if client.invoke(FunctionName=name)["Payload"].read() != b"1":
                raise RuntimeError(f"{name} did not answer")
            client.delete_function(FunctionName=name)
            if number == WARM_AFTER:
                warm = memory()
        return [
            Figure(
                f"Local stack: memory after {FUNCTIONS:,} functions made, invoked and deleted",
                memory() / warm,
                "×",
                reference=f"after {WARM_AFTER}",
                at_most=1.1,
                tolerance=0.1,
            )
        ]

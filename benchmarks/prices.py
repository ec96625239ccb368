"""What AWS asks in us-east-1, in USD, without free tiers.

They change: look at the pages before you reckon with them.
"""

from __future__ import annotations

# What is counted, what one of it costs, and where that stands.
PRICES = {
    "state transitions": (0.025 / 1000, "https://aws.amazon.com/step-functions/pricing/"),
    "function invocations": (0.20 / 1e6, "https://aws.amazon.com/lambda/pricing/"),
    "GB-seconds": (0.0000166667, "https://aws.amazon.com/lambda/pricing/"),
    "write units": (0.625 / 1e6, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "read units": (0.125 / 1e6, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "events put": (1.00 / 1e6, "https://aws.amazon.com/eventbridge/pricing/"),
    "GB of logs": (0.50, "https://aws.amazon.com/cloudwatch/pricing/"),
    "traces": (5.00 / 1e6, "https://aws.amazon.com/xray/pricing/"),
}


def cost(counted: dict[str, float]) -> float:
    """What it costs, in USD."""
    return sum(PRICES[name][0] * count for name, count in counted.items())

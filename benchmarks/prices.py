"""AWS's prices in us-east-1, in USD, without free tiers and volume discounts.

Prices change: check the pages before you rely on them. AWS's own calculations with most of them are
at https://docs.aws.amazon.com/solutions/latest/automated-security-response-on-aws/cost.html, where
DynamoDB's prices are still those before November 2024.
"""

# What is counted, the price of one, and the source.
PRICES = {
    "state transitions": (0.025 / 1000, "https://aws.amazon.com/step-functions/pricing/"),
    "function invocations": (0.20 / 1e6, "https://aws.amazon.com/lambda/pricing/"),
    # On x86_64, the template's default; on arm64 0.0000133334.
    "GB-seconds": (0.0000166667, "https://aws.amazon.com/lambda/pricing/"),
    # On demand, in the Standard table class. Half of the prices before November 2024:
    # https://aws.amazon.com/blogs/database/new-amazon-dynamodb-lowers-pricing-for-on-demand-throughput-and-global-tables/
    "write units": (0.625 / 1e6, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "read units": (0.125 / 1e6, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    # Custom events, for each started 64 KB. Events of AWS services cost nothing.
    "events put": (1.00 / 1e6, "https://aws.amazon.com/eventbridge/pricing/"),
    # Ingested, in the Standard log class. Lambda logs beyond 10 TB a month cost less.
    "GB of logs": (0.50, "https://aws.amazon.com/cloudwatch/pricing/"),
    # Traces recorded.
    "traces": (5.00 / 1e6, "https://aws.amazon.com/xray/pricing/"),
}


def cost(counted: dict[str, float]) -> float:
    """The cost in USD."""
    return sum(PRICES[name][0] * count for name, count in counted.items())

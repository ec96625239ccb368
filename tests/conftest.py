import os

# Powertools reads it when a function's module is imported.
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "acknowledger"

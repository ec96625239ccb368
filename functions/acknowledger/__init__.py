"""What Intake, Acknowledge and Report share."""

import warnings

# Powertools warns on stderr, that is in the log, when an invocation had nothing to count.
warnings.filterwarnings("ignore", message="No application metrics to publish")

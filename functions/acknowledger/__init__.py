"""What Intake, Acknowledge and Report share."""

import gc
import os
import warnings

# Whether Lambda is just starting the function. What is made then is kept: looking for garbage among
# it would take a sixth of a cold start. `aws.prepare` ends it.
STARTING = "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ
if STARTING:
    gc.disable()

# Powertools warns on stderr, that is in the log, when an invocation had nothing to count.
warnings.filterwarnings("ignore", message="No application metrics to publish")

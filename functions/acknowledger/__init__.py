"""The code that the functions share."""

import gc
import os
import warnings

# Whether Lambda is just starting the function. Objects made then are kept, and garbage collection
# would take a sixth of a cold start. `aws.prepare` enables it again.
STARTING = "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ
if STARTING:
    gc.disable()

# Powertools writes a warning to the log when an invocation counted nothing.
warnings.filterwarnings("ignore", message="No application metrics to publish")

"""The code that the functions share.

- use cases: `taking` and `upkeep` for Intake, `acknowledgment` for Acknowledge, `ending` and
  `progress` for Report, `stopping` for Stop
- decisions, which call no AWS: `events`, `offers`, `outcomes`, `room`, `validation`, `moments`
- AWS: `job_api` (CodePipeline), `job_table` and `intake_table` on `table`, `executions`, `bus`,
  `client_tokens`; their clients are in `aws`
- for all: `config`, `errors`, `log`
"""

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

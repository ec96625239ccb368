from __future__ import annotations

import functools
import gc
import os

from local.aws import isolation

# Before anything is imported that reads the environment; tests name their region.
isolation.isolate(region=False)

import botocore.session
import moto.core.models

# Powertools reads them when a function's modules are imported.
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "acknowledger"
os.environ["POWERTOOLS_SERVICE_NAME"] = "Acknowledger"

# moto keeps a great many objects, and looking through them for garbage takes a seventh of the time.
gc.set_threshold(100_000, 50, 100)

# moto forgets the SDK's session with every test, and a new one would read the services' models,
# megabytes of JSON, anew.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# moto makes more than a thousand of them, always the same, each time that it is started.
moto.core.models.CallbackResponse = functools.cache(moto.core.models.CallbackResponse)

from __future__ import annotations

import functools
import gc
import os

import botocore.session
import botocore.useragent
import moto.core.models

from local.aws import once

# Powertools reads them when a function's modules are imported.
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "acknowledger"
os.environ["POWERTOOLS_SERVICE_NAME"] = "Acknowledger"

# moto keeps a great many objects, and looking through them for garbage takes a seventh of the time.
gc.set_threshold(100_000, 50, 100)

# moto forgets the SDK's session with every test, and a new one would read the services' models,
# megabytes of JSON, anew.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# The same few words go through it, letter by letter, with every request.
botocore.useragent.sanitize_user_agent_string_component = functools.cache(
    botocore.useragent.sanitize_user_agent_string_component
)

# moto makes more than a thousand of them, always the same, each time that it is started.
moto.core.models.CallbackResponse = functools.cache(moto.core.models.CallbackResponse)

once.install()

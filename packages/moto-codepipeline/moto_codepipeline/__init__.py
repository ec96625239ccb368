"""CodePipeline's jobs and real pipeline runs, for moto.

moto knows CodePipeline's pipelines, and calls an execution Succeeded when it is started. Importing
this package makes moto run pipelines: an S3 source puts its object as an artifact, and a custom
action waits for a worker that polls for its job, acknowledges it and puts a result. It works
wherever moto works, in ``mock_aws`` and in moto's server.

A backend has a ``clock`` that a test can advance, and a ``behaviour`` for everything about the real
service that is not known. Each is new for each ``mock_aws``:

    backend = moto_codepipeline.backend("123456789012", "eu-west-1")
    backend.clock.advance(seconds=60)

Behind an HTTP endpoint, ``http.Endpoint`` lets both be changed by requests, and makes artifact
credentials count. docs/behaviour.md says of each behaviour how it is known.

Partner actions (owner ThirdParty) run as well. AWS has no public operations for what comes before
their jobs, so that is Python: a type is registered, and a client's token is set. Which client an
action belongs to is a choice of this package: the account's default one, unless it is bound.

    backend.register_third_party_action_type(...)
    backend.put_client(backend.default_client_id, "the partner's token")
    backend.put_client("11111111-2222-3333-4444-555555555555", "another customer's")
    backend.bind_client("11111111-2222-3333-4444-555555555555", "release")

What is due happens at the next call. A stack that nobody calls for a while calls ``tick_all`` in a
loop of its own. Events go to moto's EventBridge; ``JobBackend.deliver_event`` is
the place to send them elsewhere.
"""

from .behaviour import Behaviour
from .clock import Clock, ManualClock
from .credentials import CREDENTIAL_MARKS
from .install import install
from .jobs import JobStatus, NextJob
from .models import JobBackend, backend, backends, tick_all

__all__ = [
    "CREDENTIAL_MARKS",
    "Behaviour",
    "Clock",
    "JobBackend",
    "JobStatus",
    "ManualClock",
    "NextJob",
    "backend",
    "backends",
    "install",
    "tick_all",
]

install()

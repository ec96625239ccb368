"""Replaces moto's CodePipeline with this package."""

import sys
from typing import Any

from moto.codepipeline.models import codepipeline_backends
from moto.codepipeline.responses import CodePipelineResponse

from . import cloudformation  # noqa: F401 - the import registers the resources in moto
from .models import JobBackend
from .replaced import Replaced, put
from .responses import JobResponse

REPLACED = (
    Replaced(
        "moto.codepipeline.models:codepipeline_backends.backend",
        ".models:JobBackend",
        "moto runs no pipelines",
    ),
    Replaced(
        "moto.codepipeline.responses:CodePipelineResponse._dispatch",
        ".install:led_here",
        "moto has no operations on jobs, and checks requests by hand",
    ),
)


def install() -> None:
    """Make moto serve CodePipeline from here, from now on. Another call changes nothing.

    What moto already has is kept: backends in use are replaced by ones with the same pipelines,
    and servers that already have moto's handler are redirected.
    """
    put(REPLACED, __package__)
    for account in codepipeline_backends.values():
        account.backend = JobBackend
        for region, present in list(account.items()):
            if not isinstance(present, JobBackend):
                replacement = JobBackend(region, account.account_id)
                replacement.pipelines = present.pipelines
                account[region] = replacement
    _forget_resource_types()


def led_here(_: CodePipelineResponse, *args: Any, **kwargs: Any) -> Any:
    return JobResponse()._dispatch(*args, **kwargs)


def _forget_resource_types() -> None:
    """Make CloudFormation look up its resource types again, if it already has."""
    parsing = sys.modules.get("moto.cloudformation.parsing")
    if parsing is not None:
        for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
            cached.cache_clear()

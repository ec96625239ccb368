"""The addresses of requests. moto finds this module by the name of the backend's module."""

from moto.codepipeline.urls import url_bases

from .responses import JobResponse

url_paths = {
    "{0}/$": JobResponse.dispatch,
    "{0}/service/CodePipeline_20150709/operation/(?P<operation>[^/]+)$": JobResponse.dispatch,
}

__all__ = ["url_bases", "url_paths"]

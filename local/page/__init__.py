"""A page to watch jobs on: what it shows, how it is served, and what the browser runs.

Nothing here runs while nobody looks: each browser's stream is made by the thread that serves it.
"""

from .server import PATH, Page

__all__ = ["PATH", "Page"]

"""The page that shows pipelines and jobs: its data, its server and the browser's scripts.

Nothing runs while no browser is connected: each stream's data is read by the thread that serves it.
"""

from .server import PATH, Page

__all__ = ["PATH", "Page"]

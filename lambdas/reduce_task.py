"""Execute attempts of reduce tasks. The code is that of `map_task`; the permissions and settings differ."""

from map_task import handler

__all__ = ["handler"]

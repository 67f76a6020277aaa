"""Executes attempts of reduce tasks, as `map_task` does: what differs are its rights and its settings."""

from map_task import handler

__all__ = ["handler"]

"""Decisions: values in, values out. Time and capacity are arguments; the same arguments give the same answer."""

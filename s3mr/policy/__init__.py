"""Make decisions as pure functions. Time and capacity are arguments, so the same arguments give the same answer."""

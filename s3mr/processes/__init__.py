"""Run worker processes, on a laptop and in Lambda: the child that executes attempts, and its parent's handle on it."""

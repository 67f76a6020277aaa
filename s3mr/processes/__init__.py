"""Worker processes, on a laptop and in Lambda alike: a child that executes attempts, and its parent's hold on it."""

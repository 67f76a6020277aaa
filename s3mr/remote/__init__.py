"""Use a stack on AWS: find it by its name, submit jobs to it, and watch them."""

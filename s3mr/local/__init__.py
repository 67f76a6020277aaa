"""Run jobs with workers on this machine: on an embedded cloud that ends with the command, or at an endpoint."""

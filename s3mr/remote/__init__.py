"""A stack on AWS as its user sees it: found by its name, given jobs, watched."""

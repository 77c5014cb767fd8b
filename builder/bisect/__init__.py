"""Which commit made a score worse: runs of commits between a good one and a bad one, fewest first, until one is left to blame."""

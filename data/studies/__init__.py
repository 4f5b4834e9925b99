"""Long computations on data that cannot be committed: their small results are, and the
notebooks read those.

`labreport study NAME` calls the function make_NAME of these files, which replaces
NAME's file in data/results. Each step is stored in data/cache, or in the file itself,
as soon as it is done: a stopped study goes on where it was.
"""

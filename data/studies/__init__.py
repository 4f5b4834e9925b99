"""Long computations on data that cannot be committed: their small results are, and the notebooks read those.

`dlapps data make NAME` calls the function make_NAME of these files, which replaces NAME's file in data/results. Each
step is kept in data/cache as soon as it is done, so that a stopped study goes on where it was.
"""

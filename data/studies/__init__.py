"""Long computations, mostly on data that cannot be committed.

Their small results are committed, and the notebooks read those. In the folder data,
`python -m studies NAME` calls the function make_NAME of these files, which replaces
NAME's file in data/results.
Each step is stored in data/cache, or in the file itself, as soon as it is done: a study
that was stopped goes on where it was.
"""

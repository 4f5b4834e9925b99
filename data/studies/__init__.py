"""Long computations, mostly on data that cannot be committed.

Their small results are committed, and the notebooks read those. In the folder data,
`python -m studies NAME` calls the function make_NAME of these files, which makes what
NAME's file in data/results lacks: a study that was stopped goes on where it was, and
one whose file is deleted is made again.
"""

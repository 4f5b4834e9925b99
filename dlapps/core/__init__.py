"""What all topics stand on: files, pixels, scores, trainings, measurements, the
machine.
"""

"""What all topics build on: files, pixels, class scores, trainings, the machine."""

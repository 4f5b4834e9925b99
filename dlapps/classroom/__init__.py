"""What students and their teachers need: automatic checks of the exercises in the chapters."""

"""A course made from the chapters, with automatic checks of its exercises."""

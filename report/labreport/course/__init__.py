"""What students and their teachers need: a course made from the chapters, and automatic
checks of its exercises.
"""

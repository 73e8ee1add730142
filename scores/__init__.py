"""Scores of objects and of partitions, intervals of scores, measurements of objects, and quality without labels."""

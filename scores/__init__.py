"""Scores of separate objects, their measurements, scores of partitions, and the quality of an unlabelled result."""

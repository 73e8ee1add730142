"""Simulated microscopy with exact labels, one module for each data set."""

"""Explore a data set before training: tables, k-means clusters, images that leak into each other, figures."""

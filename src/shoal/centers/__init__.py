"""Centres and medoids: k-means and its relatives, at the level of arrays."""

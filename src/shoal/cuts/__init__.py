"""Choosing a cut: which nodes of a tree are the clusters."""

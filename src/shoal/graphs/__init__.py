"""Neighbours, spectral clustering and embeddings: methods on graphs and matrices, at the level of arrays."""

"""Thin scikit-learn faces."""

"""Building merge trees: one type, one dispatcher, one file an engine."""

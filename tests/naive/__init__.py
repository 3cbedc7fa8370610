"""The slow, obvious way. Imports nothing of shoal, so that it can be a witness."""

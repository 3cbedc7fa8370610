"""Pictures with matplotlib; every file loads it only when something is drawn."""

"""How work runs: compiled kernels, threads over fixed blocks, memory known beforehand, progress."""

"""Models run on this host, one module for each runtime, one sample at a time."""

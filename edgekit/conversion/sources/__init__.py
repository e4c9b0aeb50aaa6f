"""Where models come from: one plug-in for each kind of source (entry points `edgekit.sources`)."""

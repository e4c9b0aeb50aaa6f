"""What models are made into: one plug-in for each format (entry points `edgekit.targets`)."""

"""Core ML for edgekit, as a plug-in: `target` makes .mlpackage models, `mil` evaluates them on any host."""

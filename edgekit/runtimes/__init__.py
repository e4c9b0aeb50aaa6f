"""What runs a model on a device: the bundled native runner, and Python on the board.

Each runtime is a plug-in (entry-point group `edgekit.runtimes`) that follows `base.Runtime`.
"""

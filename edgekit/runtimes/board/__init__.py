"""Programs that run on the board with its own Python; they import nothing of edgekit."""

"""Mathematics only: the index language, its adjoints, their elimination, and loop nests."""

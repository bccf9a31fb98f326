"""One file per operator. A file that defines a `Definition` here is found; there is no list."""

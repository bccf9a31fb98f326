"""One page about a run: what it learned, what it mistakes, and where its time goes."""

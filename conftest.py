"""Collection: every module is loaded once, under its installed name."""

# gradproof/derive, … are links to these folders. Collected by both paths, a class would exist
# twice and `isinstance` would fail between the copies.
collect_ignore = ["derive", "codegen", "generated", "runtime"]

"""Collection: every module is loaded once, under its installed name."""

from importlib.util import find_spec

# gradproof/derive, … are links to these folders. Collected by both paths, a class would exist
# twice and `isinstance` would fail between the copies.
collect_ignore = ["derive", "docs", "codegen", "generated", "runtime"]
if find_spec("torch") is None:  # the networks in PyTorch are no test, but collected for doctests
    collect_ignore.append("tests/torch_twins.py")
if find_spec("onnx") is None:  # the example of `gp.onnx.export` writes a file
    collect_ignore.append("gradproof/runtime/onnx/export.py")
if find_spec("onnx") is None or find_spec("onnxruntime") is None:
    # skipped as a module of doctests it would stay half imported, an error in those that import it
    collect_ignore.append("tests/onnx_check.py")

"""Networks as ONNX files, which other programs run (https://onnx.ai). PyTorch: torch.onnx."""

from gradproof.runtime.onnx.export import export

__all__ = ["export"]

"""Tensors and networks as HTML for a notebook, in the notebook's own colours and letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradproof.runtime.nn import Module
    from gradproof.runtime.tensor import Tensor

SHOWN = 8  # rows and columns of a tensor
LEFT = ' style="text-align:left"'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table of texts, which are escaped; one that is long scrolls. The first row of cells are
    the headings of columns; where there are none, the first cell of each row is its heading.

    >>> table(["a"], [["<"]])
    '<div style="max-height:30em;overflow:auto"><table><thead><tr><th scope="col" \
style="text-align:left">a</th></tr></thead><tbody><tr><td style="text-align:left">&lt;</td></tr>\
</tbody></table></div>'
    """
    above = "".join(f'<th scope="col"{LEFT}>{escape(text)}</th>' for text in head)
    body = "".join(f"<tr>{_cells(row, not head)}</tr>" for row in rows)
    return (
        '<div style="max-height:30em;overflow:auto"><table>'
        + (f"<caption{LEFT}>{escape(caption)}</caption>" if caption else "")
        + (f"<thead><tr>{above}</tr></thead>" if head else "")
        + f"<tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str], headed: bool) -> str:
    cells = [f"<td{LEFT}>{escape(text)}</td>" for text in row]
    if headed:
        cells[0] = f'<th scope="row"{LEFT}>{escape(row[0])}</th>'
    return "".join(cells)


def tensor_html(t: Tensor) -> str:
    """What a tensor is, and its first elements; no others are copied from its device."""
    grad = ["requires_grad"] if t.requires_grad else []
    facts = [f"{type(t).__name__} {_shape(t.shape)}", str(t.dtype), t.device.info.name, *grad]
    height, width = (1, 1, *t.shape)[-2:]
    caption = ", ".join(facts)
    if t.ndim > 2 and t.size:
        caption += f"; of which [{', '.join(['0'] * (t.ndim - 2))}]"
    rows = []
    if t.size:
        for row in range(min(height, SHOWN)):
            found = t.storage.part(row * width, min(width, SHOWN), t.dtype)
            rows.append([*map(_number, found), *(["…"] if width > SHOWN else [])])
        if height > SHOWN:
            rows.append(["…"] * len(rows[0]))
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption{LEFT}>{escape(caption)}</caption><tbody>{body}</tbody></table>"


def _number(value: Any) -> str:
    return str(value) if value.dtype.kind == "i" else f"{value:.5g}"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "of one number"


def module_html(model: Module) -> str:
    """A network's modules under the names of its state dict, what they own, and the total."""
    rows = [
        (path, _kind(module), _owned(module), _count(module, recurse=False))
        for path, module in model.named_modules()
        if path or any(True for _ in _state(module)) or not any(True for _ in model.children())
    ]
    caption = f"{type(model).__name__}, {_count(model) or 0} parameters"
    return table(("name", "module", "parameters and buffers", "parameters"), rows, caption)


def _kind(module: Module) -> str:
    extra = "" if any(True for _ in module.children()) else module.extra_repr()
    return f"{type(module).__name__}({extra})" if extra else type(module).__name__


def _state(module: Module) -> Iterable[tuple[str, Any]]:
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def _owned(module: Module) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, v.shape))})" for name, v in _state(module))


def _count(module: Module, recurse: bool = True) -> str:
    size = sum(p.size for p in module.parameters(recurse))
    return f"{size:,}" if size else ""

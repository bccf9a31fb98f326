"""Fast kernels for known sizes: derived equations on blocked layouts, scheduled by access pattern.

    Equation + sizes --specialise--> Nest --strided (layouts)--> Strided --schedule--> text

`specialise` makes every subscript affine; `layout` places tensors in memory; `strided` gives each
access one affine address; the schedules (contraction, winograd, vector) read only strides and
extents. None of them knows an operator: the arithmetic is the nest's.
"""

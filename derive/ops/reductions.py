"""Sums, means and maxima along one axis; several axes are taken one after the other.
PyTorch: torch.sum, mean, max (whose gradient goes to the first maximum).
"""

from gradproof.derive.language import operator

NAMES = {"Y": "input", "z": "output"}
SHAPES = {"Y": "A, R, B"}
DOC = "Along R of an array A x R x B."

sum_axis = operator("sum_axis", "z[i,j] = sum[r](Y[i,r,j])", SHAPES, names=NAMES, doc=DOC)
mean_axis = operator("mean_axis", "z[i,j] = sum[r](Y[i,r,j]) / R", SHAPES, names=NAMES, doc=DOC)
max_axis = operator("max_axis", "z[i,j] = max[r](Y[i,r,j])", SHAPES, names=NAMES, doc=DOC)

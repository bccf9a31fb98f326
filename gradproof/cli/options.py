"""Options that several commands have, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Index, kind (gpu, cpu, accelerator, simulator) or part of the name; without it"
        " GRADPROOF_DEVICE, else the first GPU, CPU or accelerator. See: gradproof devices.",
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="End standard output with one line of JSON; the rest to stderr."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="New or empty folder for the run; without it runs/<data set>-<model>-<number>.",
    ),
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the training images.")]
Seed = Annotated[
    int, typer.Option(min=0, help="Decides the initial parameters and the order of the images.")
]
MaybeEpochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, help="Passes over the training images; default: 10."),
]
MaybeSeed = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, help="Decides initial parameters, order and augmentation; default: 0."
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Best = Annotated[
    bool,
    typer.Option(
        "--best",
        help="The parameters with the lowest held-out loss in place of those of the last epoch.",
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Images of a step.")]
Image = Annotated[
    str | None, typer.Option(metavar="C,H,W", help="Shape of an image; by default the usual.")
]
Classes = Annotated[int, typer.Option(min=1, help="Classes.")]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="Keep only a part of the activations and compute the rest again in the backward pass:"
        " less memory, more time, the same bits.",
    ),
]
DetectAnomaly = Annotated[
    bool,
    typer.Option(
        "--detect-anomaly",
        help="Check what every kernel writes, and name the first layer that computes a NaN or an"
        " infinity. Several times slower; the same numbers.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Say on standard error what is prepared: the device and its limits, plans, and where a"
        " kernel's schedule does not fit the device and another takes its place.",
    ),
]
Stored = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="Of parameters and activations: float32, float64, or float16, which halves their"
        " memory while sums stay in float32. Default: that of the run.",
    ),
]
Precision = Annotated[
    str, typer.Option(help="fast (tiles of 4 in fused Winograd) or accurate (of 2).")
]

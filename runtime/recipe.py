"""From the tables of a config to the objects that train: optimizer, schedule, transforms, loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradproof.runtime import config
from gradproof.runtime.data import Dataset, transforms
from gradproof.runtime.data.transforms import Normalize, Transform, channel_statistics
from gradproof.runtime.errors import DataError, GradproofError, RunError
from gradproof.runtime.models import build_model, find_model
from gradproof.runtime.nn import Dropout, Module
from gradproof.runtime.optim import SGD, Adam, AdamW, Optimizer
from gradproof.runtime.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from gradproof.runtime.serialization import load
from gradproof.runtime.tensor import Tensor

# by the beginning of a network's name: without batch norm LeNet starts slowly at the demo's rate,
# and VGG diverges at a residual network's
LEARNING_RATES = {"demo": 0.01, "lenet": 0.03, "alexnet": 0.01, "vgg": 0.01, "resnet": 0.1}
ADAM_RATE = 1e-3
WARM_UP_FROM = 0.1  # of the rate that it rises to


def usual_rate(model: str, optimizer: str = "sgd") -> float:
    """The learning rate that a network is trained with where none is given.

    Raises:
        RunError: there is no such network.

    >>> usual_rate("vgg16_bn"), usual_rate("resnet20"), usual_rate("resnet20", "adam")
    (0.01, 0.1, 0.001)
    """
    find_model(model)
    if optimizer != "sgd":
        return ADAM_RATE
    return next(rate for family, rate in LEARNING_RATES.items() if model.startswith(family))


def make_model(table: config.Model, data: Dataset, dtype: str) -> Module:
    """The network for the images and classes of `data`.

    Raises:
        RunError: there is no such network, or dropout is given for one that has none.
        ShapeError: the images are too small for it.
    """
    model = build_model(table.name, data.image_shape, len(data.classes)).to(dtype)
    if table.dropout is not None:
        layers = [m for m in model.modules() if isinstance(m, Dropout)]
        if not layers:
            raise RunError(f"model.dropout = {table.dropout}: {table.name} has no dropout")
        for layer in layers:
            layer.p = table.dropout
    return model


def load_weights(model: Module, table: config.Model) -> None:
    """Let the network begin with the parameters of a file, where the config names one.

    Raises:
        DataError: the file cannot be read, or does not fit the network.
        RunError: a name in `new` is none of the network's.

    >>> load_weights(build_model("demo", (1, 8, 8), 10), config.Model(weights="no-such.npz"))
    Traceback (most recent call last):
    gradproof.runtime.errors.DataError: no-such.npz: no such file
    """
    if table.weights is None:
        return
    own, given = model.state_dict(), load(table.weights)
    for part in table.new:
        names = [n for n in own if n == part or n.startswith(f"{part}.")]
        if not names:
            raise RunError(f"model.new: {part!r} is no layer or parameter of {table.name}")
        given |= {name: own[name] for name in names}
    try:
        model.load_state_dict(given)
    except GradproofError as error:
        raise DataError(
            f"{table.weights}: does not fit {table.name}: {error}\n(model.new names layers that"
            " are not taken from the file)"
        ) from error


def make_optimizer(model: Module, table: config.Optimizer, rate: float) -> Optimizer:
    """The optimizer, with groups of parameters where some have no weight decay."""
    groups = parameter_groups(model, table.no_decay) if table.weight_decay else [model.parameters()]
    params: list[dict[str, Any]] = [{"params": list(group)} for group in groups]
    if len(params) == 2:
        params[1]["weight_decay"] = 0.0
    params = [group for group in params if group["params"]]
    if table.name == "sgd":
        return SGD(
            params,
            rate,
            table.momentum,
            table.dampening,
            table.weight_decay,
            table.nesterov,
        )
    kind = Adam if table.name == "adam" else AdamW
    return kind(params, rate, table.betas, table.eps, table.weight_decay)


def parameter_groups(model: Module, without: Sequence[str]) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters with weight decay, and those without: "bias", all biases; "norm", the weights
    and biases of normalisations, which are the modules whose weights have one dimension.

    >>> from gradproof.runtime import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    >>> [len(group) for group in parameter_groups(model, ["bias"])]
    [2, 2]
    >>> [len(group) for group in parameter_groups(model, ["norm", "bias"])]
    [1, 3]
    """
    norms = {
        id(p)
        for module in model.modules()
        if getattr(module, "weight", None) is not None and module.weight.ndim == 1
        for p in module.parameters(recurse=False)
    }
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, p in model.named_parameters():
        is_bias = name.rpartition(".")[2] == "bias"
        exempt = ("bias" in without and is_bias) or ("norm" in without and id(p) in norms)
        (free if exempt else decayed).append(p)
    return decayed, free


def make_schedule(
    optimizer: Optimizer, table: config.Schedule, epochs: int, batches: int
) -> LRScheduler | ReduceLROnPlateau | None:
    """The schedule; it counts steps, `batches` in each of `epochs`, but "plateau" counts epochs.

    Raises:
        RunError: a warm-up that leaves nothing, or one of "plateau".
    """
    if table.name == "plateau":
        if table.warmup:
            raise RunError("schedule: plateau has no warm-up, as it waits for what it sees")
        return ReduceLROnPlateau(
            optimizer, factor=min(table.gamma, 0.999), patience=table.patience, min_lr=table.minimum
        )
    if table.warmup >= epochs:
        raise RunError(f"schedule.warmup = {table.warmup}: expected fewer than {epochs} epochs")
    main = _main(optimizer, table, epochs, batches)
    if not table.warmup:
        return main
    steps = table.warmup * batches
    warm = LinearLR(optimizer, WARM_UP_FROM, total_iters=steps)
    for group, base in zip(optimizer.param_groups, warm.base_lrs, strict=True):
        group["lr"] = base
    after = _main(optimizer, table, epochs, batches) or StepLR(optimizer, 1, gamma=1.0)
    return SequentialLR(optimizer, [warm, after], [steps])


def _main(
    optimizer: Optimizer, table: config.Schedule, epochs: int, batches: int
) -> LRScheduler | None:
    """The schedule after the warm-up, counted from its end."""
    rest = epochs - table.warmup
    if table.name == "cosine":
        return CosineAnnealingLR(optimizer, rest * batches, table.minimum)
    if table.name == "step":
        return StepLR(optimizer, table.step_size * batches, table.gamma)
    if table.name == "multi-step":
        places = [(m - table.warmup) * batches for m in table.milestones]
        return MultiStepLR(optimizer, places, table.gamma)
    return None


def make_transforms(
    table: config.Data, data: Dataset, normal: tuple[list[float], list[float]] | None
) -> tuple[Transform | None, Transform | None]:
    """What happens to images in training, and to held-out ones; normal: means and deviations."""
    _, height, width = data.image_shape
    common: list[Transform] = [] if normal is None else [Normalize(*normal)]
    only: list[Transform] = []
    if table.crop_padding:
        if height != width:
            raise RunError(f"data.crop_padding: images are {height} x {width}, expected squares")
        only.append(transforms.RandomCrop(height, table.crop_padding))
    if table.flip:
        only.append(transforms.RandomHorizontalFlip())
    # normalised first: the zeros around a crop are then the mean
    return _composed([*common, *only]), _composed(common)


def statistics(table: config.Data, data: Dataset) -> tuple[list[float], list[float]] | None:
    """Means and deviations of the training images' channels, where they are wanted."""
    return channel_statistics(data.x_train) if table.normalize else None


def _composed(steps: list[Transform]) -> Transform | None:
    return transforms.Compose(steps) if steps else None

"""What decides a run, as a table that can be written in a TOML file.

    [data]
    dataset = "cifar"
    crop_padding = 4
    flip = true
    normalize = true

    [model]
    name = "resnet20"

    [train]
    epochs = 160
    batch_size = 128

    [optimizer]
    lr = 0.1
    weight_decay = 1e-4
    no_decay = ["bias", "norm"]

    [schedule]
    name = "multi-step"
    milestones = [80, 120]
    warmup = 1

What is left out has the defaults below; an unknown name is an error.
"""

from __future__ import annotations

import math
from codecs import BOM_UTF8
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from gradproof.runtime.choices import with_choices
from gradproof.runtime.errors import RunError

Count = Annotated[int, Meta(ge=1)]
FromZero = Annotated[int, Meta(ge=0)]
NotNegative = Annotated[float, Meta(ge=0.0)]
Part = Annotated[float, Meta(ge=0.0, le=1.0)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all tables."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value}, expected a finite number")


class Data(Table, frozen=True):
    """dataset: as for `load_dataset`; image_size: of pictures in folders; crop_padding: zeros
    around an image before a random crop of its own size; flip: left and right by chance;
    normalize: mean 0 and deviation 1 of each channel over the training images."""

    dataset: str = "digits"
    image_size: Count | None = None
    crop_padding: FromZero = 0
    flip: bool = False
    normalize: bool = False


class Model(Table, frozen=True):
    """name: one of `gradproof models`; dropout: of the networks that have some, None for theirs;
    weights: a state dict, .safetensors or .npz, that training begins with; new: layers or
    parameters that are not taken from it, such as "fc" where the classes are others."""

    name: str = "demo"
    dropout: Part | None = None
    weights: str | None = None
    new: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new and self.weights is None:
            raise ValueError("new has no effect without weights")


class Named(Table, frozen=True):
    """The base of tables whose name decides which of the others mean something; a value that would
    not be used is an error."""

    _uses: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    name: str

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in msgspec.structs.fields(self):
            users = [name for name, used in self._uses.items() if field.name in used]
            if users and self.name not in users and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"{field.name} has no effect with name = {self.name!r},"
                    f" only with {' and '.join(map(repr, users))}"
                )


class Optimizer(Named, frozen=True):
    """lr: None for the usual rate of the network; momentum, dampening, nesterov: of SGD; betas,
    eps: of Adam and AdamW; no_decay: parameters without weight decay, "bias" and "norm" (weights
    of normalisations)."""

    _uses: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sgd": ("momentum", "dampening", "nesterov"),
        "adam": ("betas", "eps"),
        "adamw": ("betas", "eps"),
    }
    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: NotNegative | None = None
    momentum: Part = 0.9
    dampening: Part = 0.0
    nesterov: bool = False
    betas: tuple[Part, Part] = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    no_decay: tuple[Literal["bias", "norm"], ...] = ()


class Schedule(Named, frozen=True):
    """How the rate changes from epoch to epoch. warmup: epochs in which it rises linearly from a
    tenth, step by step; gamma, step_size, milestones: as StepLR and MultiStepLR; minimum: where
    "cosine" ends, and the least of "plateau"; patience: epochs of "plateau" without a lower
    held-out loss."""

    _uses: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "step": ("step_size", "gamma"),
        "multi-step": ("milestones", "gamma"),
        "cosine": ("minimum",),
        "plateau": ("gamma", "minimum", "patience"),
    }
    name: Literal["constant", "step", "multi-step", "cosine", "plateau"] = "constant"
    warmup: FromZero = 0
    step_size: Count = 30
    milestones: tuple[Count, ...] = ()
    gamma: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.1
    minimum: NotNegative = 0.0
    patience: FromZero = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "multi-step" and not self.milestones:
            raise ValueError("milestones are missing, the epochs after which the rate falls")


class Train(Table, frozen=True):
    """drop_last: whether a smaller last batch is left out; accumulate: parts of a batch, see
    `TrainingStep`; clip_grad_norm: limit of the gradients' norm; recompute: activations are
    computed again in the backward pass, for less memory and the same bits; early_stopping: epochs
    without a lower held-out loss after which training ends; dtype: float16 stores activations in
    half of the memory, parameters stay float32; the order of the images, initial
    values and augmentation come from the seed."""

    epochs: Count = 10
    batch_size: Count = 32
    drop_last: bool = False
    seed: FromZero = 0
    dtype: Literal["float32", "float64", "float16"] = "float32"
    precision: Literal["fast", "accurate"] = "fast"
    accumulate: Count = 1
    clip_grad_norm: Annotated[float, Meta(gt=0.0)] | None = None
    recompute: bool = False
    detect_anomaly: bool = False
    label_smoothing: Part = 0.0
    early_stopping: Count | None = None

    @property
    def parameters(self) -> str:
        """The dtype of parameters."""
        return "float32" if self.dtype == "float16" else self.dtype

    @property
    def storage(self) -> str | None:
        """The dtype of activations, where it is another one."""
        return "float16" if self.dtype == "float16" else None


class Checkpoints(Table, frozen=True):
    """keep: how many of the last ones stay, beside the best; every: steps between two, None for
    one after each epoch."""

    keep: Count = 3
    every: Count | None = None


class Config(Table, frozen=True):
    """A run. tensorboard: whether metrics go to TensorBoard's format too.

    >>> Config.of({"train": {"epochs": 3}}).train.epochs
    3
    >>> Config.of({"train": {"epoch": 3}})
    Traceback (most recent call last):
    gradproof.runtime.errors.RunError: Object contains unknown field `epoch` - at `$.train`; \
expected accumulate, batch_size, clip_grad_norm, detect_anomaly, drop_last, dtype, early_stopping, \
epochs, label_smoothing, precision, recompute, seed
    """

    data: Data = Data()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    train: Train = Train()
    checkpoints: Checkpoints = Checkpoints()
    tensorboard: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Config:
        """From nested dicts. Raises RunError naming the place, what is there and what may be."""
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise RunError(with_choices(cls, str(error))) from error

    def decisive(self) -> dict[str, Any]:
        """What decides the numbers of a run step by step, by table and name: all but how long it
        lasts, what is kept of it, and where its files lie.

        >>> [name for name in Config().decisive() if name.startswith("model")]
        ['model.name', 'model.dropout']
        """
        free = {"epochs", "early_stopping", "recompute", "dataset", "weights", "new"}
        free |= {"detect_anomaly"}
        tables = {t: v for t, v in msgspec.to_builtins(self).items() if isinstance(v, dict)}
        del tables["checkpoints"]
        return {
            f"{table}.{name}": list(value) if isinstance(value, tuple) else value
            for table, values in tables.items()
            for name, value in values.items()
            if name not in free
        }

    def changed(self, table: str, **values: Any) -> Config:
        """With other values in one table; None leaves a value as it is. Errors: as `of`.

        >>> Config().changed("train", epochs=3, seed=None).train.epochs
        3
        """
        given = {name: value for name, value in values.items() if value is not None}
        whole = msgspec.to_builtins(self)
        return Config.of(whole | {table: whole[table] | given})


def load_config(path: Path) -> Config:
    """The config in a TOML file.

    Raises:
        RunError: there is no such file, it is no TOML, or a value is not as it must be.
    """
    try:
        values = msgspec.toml.decode(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    except (msgspec.DecodeError, ValueError) as error:  # a number of 5000 digits is the latter
        raise RunError(f"{path}: no TOML: {error}") from error
    except RecursionError as error:
        raise RunError(f"{path}: no TOML that can be read: nested too deeply") from error
    try:
        return Config.of(values)
    except RunError as error:
        raise RunError(f"{path}: {error}") from error

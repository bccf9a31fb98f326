"""What a soak does again and again: training in every way that there is, and eager operators."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import gradproof as gp
from gradproof.runtime.checkpoint import CheckpointFolder
from gradproof.runtime.data import Dataset
from gradproof.runtime.models import build_model
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.training_state import capture, restore
from gradproof.runtime.utils.checkpoint import checkpoint_sequential

BATCHES = (32, 24, 40)  # their last batches of an epoch differ
SHAPES = [(n, c, h) for n in (1, 2, 5) for c in (1, 3, 4) for h in (5, 6, 9, 12)]


class Work:
    """One cycle after another. One training goes on through all of them; everything else is made
    in its cycle and dropped.

    images: of a training part; every_step: called after each step of a `Trainer`; networks: the
    one that goes on, and the one that is made in each cycle.
    """

    def __init__(
        self,
        images: int,
        every_step: Callable[[], None] = lambda: None,
        networks: tuple[str, str] = ("lenet", "resnet20"),
    ) -> None:
        digits = gp.data.load_digits()
        held_out = max(1, images // 4)
        self.data = Dataset(
            "digits",
            digits.x_train[:images],
            digits.y_train[:images],
            digits.x_test[:held_out],
            digits.y_test[:held_out],
            digits.classes,
        )
        self.every_step = every_step
        first, self._second = networks
        self.lasting = self._trainer(first, 32, "Adam")

    def _trainer(self, name: str, batch_size: int, optimizer: str) -> gp.Trainer:
        gp.manual_seed(0)
        model = build_model(name, self.data.image_shape, len(self.data.classes))
        updates = getattr(gp.optim, optimizer)(model.parameters(), lr=1e-3)
        return gp.Trainer(
            model,
            updates,
            gp.nn.CrossEntropyLoss(label_smoothing=0.1),
            self.data,
            batch_size=batch_size,
            transform=gp.data.transforms.RandomCrop(8, padding=1),
            clip_grad_norm=5.0,
            on_step=lambda trainer: self.every_step(),
        )

    def cycle(self, number: int) -> Iterator[str]:
        """The parts of cycle `number`, each named when it is done."""
        self.lasting.fit(1)
        # the results of each epoch are kept for the user, who takes them
        del self.lasting.history[:-1], self.lasting.progress.norms[:-1]
        yield "lasting"
        batch = BATCHES[number % len(BATCHES)]
        again = self._trainer(self._second, batch, "SGD")
        again.fit(1)
        yield "again"
        self._checkpoints(again, batch)
        yield "checkpoints"
        self._recorded()
        yield "recorded"
        self._eager(number)
        yield "eager"

    def _checkpoints(self, trainer: gp.Trainer, batch: int) -> None:
        """A checkpoint is written and read, and another training goes on from it."""
        with tempfile.TemporaryDirectory() as folder:
            kept = CheckpointFolder(Path(folder), keep=2)
            for step in range(3):
                kept.add(capture(trainer), step, best=step == 1)
            other = self._trainer(self._second, batch, "SGD")
            restore(other, kept.last())
        for name, value in trainer.model.state_dict().items():
            if (other.model.state_dict()[name] != value).any():
                raise RuntimeError(f"a checkpoint gives other values of {name}")

    def _recorded(self) -> None:
        """A step that is recorded, and replayed, with dropout."""
        gp.manual_seed(0)
        model = gp.nn.Sequential(
            gp.nn.Flatten(),
            gp.nn.Linear(64, 32),
            gp.nn.ReLU(),
            gp.nn.Dropout(),
            gp.nn.Linear(32, 10),
        )
        optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
        step = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss(), planned=False)
        for k in range(20):
            size = 8 if k % 5 else 7
            step(self.data.x_train[:size], self.data.y_train[:size])

    def _eager(self, number: int) -> None:
        """Tensors of many shapes and both real types, made and dropped, forward and back."""
        rng = np.random.default_rng(number)
        for n, c, h in SHAPES:
            dtype = "float64" if h % 2 else "float32"
            layers = (gp.nn.Conv2d(c, 4, 3), gp.nn.BatchNorm2d(4), gp.nn.ReLU(), gp.nn.Dropout())
            model = gp.nn.Sequential(*layers, gp.nn.MaxPool2d(2)).to(dtype)
            x = gp.tensor(rng.normal(size=(n, c, h, h)), dtype, requires_grad=True)
            y = model(x) if h % 3 else checkpoint_sequential(model, 2, x)
            (y * y).sum().backward()
            with gp.no_grad():
                model.eval()(x).reshape(-1).numpy()

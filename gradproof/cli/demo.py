"""`gradproof demo`: a small network learns the digits that come with the package."""

from __future__ import annotations

from gradproof.cli import options
from gradproof.cli.screen import Screen, command_name
from gradproof.cli.training import run_training
from gradproof.runtime.config import Config


def demo(
    device: options.Device = None,
    out: options.Out = None,
    epochs: options.Epochs = 10,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a small network on 1,442 real handwritten digits and test it on 355 others."""
    screen = Screen(as_json=as_json, verbose=verbose)
    training = run_training(
        Config().changed("train", epochs=epochs, seed=seed), screen, device, out
    )
    training.show(screen)
    screen.line("Next")
    name = command_name()
    screen.line(f"  {name} evaluate {training.run.path}")
    screen.line(f"  {name} derive conv2d           how the gradients came about")
    screen.line(f"  {name} train DATASET --model lenet    MNIST, CIFAR-10 or your own images")

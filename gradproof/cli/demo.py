"""`gradproof demo`: a small network learns the digits that come with the package."""

from __future__ import annotations

from gradproof.cli import options
from gradproof.cli.screen import Screen, command_name
from gradproof.cli.train import Settings, run_training


def demo(
    device: options.Device = None,
    out: options.Out = None,
    epochs: options.Epochs = Settings.epochs,
    seed: options.Seed = Settings.seed,
    as_json: options.Json = False,
) -> None:
    """Train a small network on 1,442 real handwritten digits and test it on 355 others."""
    screen = Screen(as_json=as_json)
    training = run_training(Settings(epochs=epochs, seed=seed, device=device, out=out), screen)
    training.show(screen)
    screen.line("Next")
    name = command_name()
    screen.line(f"  {name} evaluate {training.run.path}")
    screen.line(f"  {name} derive conv2d           how the gradients came about")
    screen.line(f"  {name} train DATASET --model lenet    MNIST, CIFAR-10 or your own images")

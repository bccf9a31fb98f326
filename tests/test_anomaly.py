"""NaN and infinities: who made the first one is named, in eager, recorded and planned steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import checked_step
from gradproof.runtime.anomaly import active_watch
from gradproof.runtime.config import Config
from gradproof.runtime.data import Dataset, load_digits
from gradproof.runtime.dispatch import record
from gradproof.runtime.errors import AnomalyError, ArgumentError, DivergenceError
from gradproof.runtime.function import Function
from gradproof.runtime.models import build_model
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.training_state import capture

F, nn = gp.functional, gp.nn
detect_anomaly = gp.autograd.detect_anomaly

Step = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_is_watched() -> Iterator[None]:
    yield
    assert active_watch() is None


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.bn = nn.BatchNorm2d(2)

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return F.relu(self.bn(self.conv1(x)))


class Net(nn.Module):
    """Layers that the planner fuses with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.a = Block()
        self.rest = nn.Sequential(nn.MaxPool2d(2, padding=1), nn.Conv2d(2, 4, 3, padding=1))
        self.bn2 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 16, 3)

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return self.fc(F.relu(self.bn2(self.rest(self.a(x)))).flatten(1))


LAYERS = {  # where a parameter is -> the layer that first computes with it
    "a.conv1": "a.conv1 (Conv2d)",
    "a.bn": "a.bn (BatchNorm2d)",
    "rest.1": "rest.1 (Conv2d)",
    "bn2": "bn2 (BatchNorm2d)",
    "fc": "fc (Linear)",
}
PARAMETERS = [f"{layer}.{name}" for layer in LAYERS for name in ("weight", "bias")]
WAYS = ["eager", "recorded", "planned"]


class Training:
    """A network and its training steps, run in one of `WAYS`."""

    def __init__(
        self, way: str, model: nn.Module | None = None, lr: float = 0.1, factor: float = 1.0
    ) -> None:
        gp.manual_seed(0)
        rng = np.random.default_rng(0)
        self.model = model or Net()
        self.optimizer = gp.optim.SGD(self.model.parameters(), lr=lr, momentum=0.9)
        self.x = gp.tensor(rng.random((4, 1, 8, 8), np.float32))
        self.y = gp.tensor(np.array([0, 1, 2, 0], np.int32))
        self.way, self.run, self.factor = way, self.step, factor

    def step(self) -> gp.Tensor:
        self.optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(self.model(self.x), self.y) * self.factor
        loss.backward()
        self.optimizer.step()
        return loss

    def begin(self) -> None:
        """The first step, in which others are planned or recorded."""
        if self.way == "planned":
            planned = gp.plan(lambda x, y: self.step(), self.x, self.y)
            self.run = lambda: planned(self.x, self.y)
        elif self.way == "recorded":
            with record() as tape:
                loss = self.step()
            self.run = lambda: (tape.replay(), loss)[1]
            return
        self.run()

    def spoil(self, name: str, value: float = np.nan) -> None:
        """Another value for the first element of a parameter."""
        p = dict(self.model.named_parameters())[name]
        array = p.numpy()
        array.reshape(-1)[0] = value
        p.copy_(array)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_finite_is_left_alone(way: str) -> None:
    """The same bits, and no complaint about a pooling's borders of minus infinity."""
    losses = []
    for watched in (False, True):
        training = Training(way)
        with gp.autograd.set_detect_anomaly(watched):
            training.begin()
            losses.append([training.run().item() for _ in range(3)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_planted_nan_is_named(way: str, name: str) -> None:
    """Planted before the third step; the same training without it is left alone above."""
    training = Training(way)
    training.begin()
    training.run()
    training.spoil(name)
    layer, kind = name.rsplit(".", 1)
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        training.run()
    text = str(caught.value)
    assert text.startswith(f"{LAYERS[layer]}: forward of operator ")
    assert "wrote output: " in text
    assert f"{kind}: 1 of " in text
    assert "it read input: finite" in text
    assert ("of the planned step, kernel k" in text) == (way == "planned")
    assert not np.isfinite(training.run().item())  # unwatched, as before


@pytest.mark.parametrize("way", WAYS)
def test_the_step_goes_on_after_a_repair(way: str) -> None:
    training = Training(way)
    training.begin()
    training.spoil("fc.bias", np.inf)
    with detect_anomaly():
        with pytest.raises(AnomalyError, match=r"^fc \(Linear\).*bias: 1 of 3 .*1 Inf"):
            training.run()
        training.spoil("fc.bias", 0.0)
        assert np.isfinite(training.run().item())


def root() -> Function:
    return gp.compile(gp.operator("root", "y[i] = sqrt(x[i])", {"x": "N"}, names={"x": "input"}))


class Root(nn.Module):
    """Square roots: at 0 the value is finite, and the gradient infinite."""

    def __init__(self, relu: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(64, 3)
        self.first.weight.copy_(np.zeros((3, 64)))
        self.first.bias.copy_(np.full(3, 9.0))
        self.root, self.relu = root(), relu

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        y = self.first(x.flatten(1))
        y = F.relu(y) if self.relu else y
        return self.root(y.reshape(-1)).reshape(*y.shape)


class Outer(nn.Module):
    def __init__(self, relu: bool = False) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(Root(relu))

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return self.layer1(x)


@pytest.mark.parametrize("way", WAYS)
def test_a_gradient_alone_is_named(way: str) -> None:
    training = Training(way, Outer(), lr=0.0)
    with detect_anomaly():
        training.begin()
        training.run()
        training.spoil("layer1.0.first.bias", 0.0)
        with pytest.raises(AnomalyError) as caught:
            training.run()
    text = str(caught.value)
    begin = "root in layer1.0 (Root): backward of operator root, kernel root_grad_x, "
    assert text.startswith(begin + "wrote gradient of input: 4 of 12 elements not finite")
    assert "gradient of y: finite" in text


@pytest.mark.parametrize("way", WAYS)
def test_what_a_launch_keeps_to_itself_and_drops_is_not_seen(way: str) -> None:
    """ReLU's gradient at 0 is 0, whatever comes back: in one launch with the root's, which is
    infinite, nothing of it is ever written."""
    training = Training(way, Outer(relu=True), lr=0.0)
    training.begin()
    training.spoil("layer1.0.first.bias", 0.0)
    with detect_anomaly():
        if way == "planned":
            assert np.isfinite(training.run().item())
            return
        with pytest.raises(AnomalyError, match="backward of operator root"):
            training.run()


def test_gradients_of_gradients_are_checked() -> None:
    x = gp.tensor([0.0], requires_grad=True)
    with detect_anomaly(), pytest.raises(AnomalyError, match="operator root_backward"):
        gp.grad(root()(x), x, create_graph=True)


@pytest.mark.parametrize("way", WAYS)
def test_an_update_is_named(way: str) -> None:
    training = Training(way, lr=1e38, factor=1e4)
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        training.begin()
    text = str(caught.value)
    assert text.startswith("SGD: launch " if way == "planned" else "SGD: forward of operator sgd_")
    assert "wrote p_new: 18 of 18 elements not finite (18 Inf)" in text


def test_a_launch_whose_own_kernels_find_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a schedule overflows and the equations do not: the launch has all the blame."""
    monkeypatch.setattr(checked_step.CheckedStep, "_again", lambda *_: None)
    training = Training("planned")
    training.begin()
    training.spoil("bn2.weight")
    message = r"relu in Net: launch \d+ of \d+ of the planned step, kernel k\w+, which computes "
    message += r"bn2 \(BatchNorm2d\), relu in Net, wrote output: 64 of 256 elements not finite"
    with detect_anomaly(), pytest.raises(AnomalyError, match=message):
        training.run()


def test_layers_of_recomputed_activations_are_named() -> None:
    """A gradient that is made of what ran again, outside of the layers around it."""

    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Outer()

        def forward(self, x: gp.Tensor) -> gp.Tensor:
            return gp.utils.checkpoint.checkpoint(self.inner, x)

    model, x = Again(), gp.tensor(np.zeros((1, 1, 8, 8), np.float32))
    model.inner.layer1[0].first.bias.copy_(np.float32([1, 0, 1]))
    message = r"^root in inner.layer1.0 \(Root\): backward of operator root"
    with detect_anomaly(), pytest.raises(AnomalyError, match=message):
        F.sum(model(x)).backward()


def test_infinities_can_be_meant() -> None:
    scores, mask = gp.tensor([[1.0, 2.0]]), gp.tensor([[0.0, -np.inf]])
    with detect_anomaly(check_inf=False):
        assert F.softmax(F.add(scores, mask), 1).numpy().tolist() == [[1.0, 0.0]]
        with pytest.raises(AnomalyError, match=r"1 NaN\).*other: 1 of 2 elements not finite \(1 I"):
            F.mul(gp.tensor([[1.0, 0.0]]), mask)
    with detect_anomaly(check_nan=False):
        F.mul(gp.tensor([[1.0, 0.0]]), gp.tensor([[1.0, np.nan]]))
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"^add: .*other: 1 of 2"):
        F.add(scores, mask)


def test_as_a_function_and_of_one_thread() -> None:
    one, zero = gp.tensor([1.0]), gp.tensor([0.0])
    found = []

    def other() -> None:
        found.append(F.div(one, zero).item())

    gp.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(AnomalyError):
            F.div(one, zero)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert found == [np.inf]
        with gp.autograd.set_detect_anomaly(False):
            other()
        with pytest.raises(AnomalyError):
            F.div(one, zero)
    finally:
        gp.autograd.set_detect_anomaly(False)
    other()
    for wrong in ("yes", 1):
        with pytest.raises(ArgumentError, match="expected True or False"):
            gp.autograd.set_detect_anomaly(wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="both False"), detect_anomaly(False, False):
        pass


@pytest.mark.parametrize("name", ["demo", "lenet", "resnet20"])
def test_networks_train_watched(name: str) -> None:
    """No network's own values are taken for anomalies, eager or planned."""
    d = load_digits()
    images = np.zeros((4, 1, 28, 28), np.float32)
    images[:, :, :8, :8] = d.x_train[:4]
    for planned in (False, True):
        gp.manual_seed(0)
        model = build_model(name, (1, 28, 28), 10)
        optimizer = gp.optim.Adam(model.parameters(), lr=1e-3)
        step = TrainingStep(model, optimizer, nn.CrossEntropyLoss(), planned=planned)
        with detect_anomaly():
            losses = [step(images, d.y_train[:4])[0] for _ in range(2)]
        assert losses[1] < losses[0]


# -- the training loop -------------------------------------------------------------------------
def few() -> Dataset:
    d = load_digits()
    return Dataset("few", d.x_train[:40], d.y_train[:40], d.x_test[:8], d.y_test[:8], d.classes)


def trainer(lr: float = 0.01, **options: Any) -> gp.Trainer:
    gp.manual_seed(0)
    data = few()
    model = build_model("demo", data.image_shape, 10)
    optimizer = gp.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return gp.Trainer(model, optimizer, nn.CrossEntropyLoss(), data, batch_size=8, **options)


def test_the_trainer_names_layer_and_place() -> None:
    def spoil(run: gp.Trainer) -> None:
        if run.progress.step == 7:
            p = next(p for n, p in run.model.named_parameters() if n.endswith("weight"))
            p.copy_(np.full(p.shape, np.nan, np.float32))

    run = trainer(detect_anomaly=True, on_step=spoil)
    message = (
        r"^training stopped: in epoch 2, batch 3 of 5, \S+ \(Conv2d\): forward of operator conv"
    )
    with pytest.raises(AnomalyError, match=message) as caught:
        run.fit(3)
    assert "Try a lower learning rate" in str(caught.value)
    assert "--detect-anomaly" not in str(caught.value)
    assert len(run.history) == 1


def test_a_watched_training_is_the_same() -> None:
    plain, watched = trainer().fit(1)[0], trainer(detect_anomaly=True).fit(1)[0]
    assert (plain.train_loss, plain.test_loss) == (watched.train_loss, watched.test_loss)


def test_divergence_comes_with_advice() -> None:
    with pytest.raises(DivergenceError) as caught:
        trainer(lr=1e30).fit(2)
    text = str(caught.value)
    for part in ("a lower learning rate than 1e+30, such as 1e+29", "clip_grad_norm = 1;"):
        assert part in text
    assert "warm-up" in text
    assert "(--detect-anomaly) names the first layer" in text


def test_images_that_are_not_finite_are_no_matter_of_the_rate() -> None:
    run = trainer(transform=lambda images, *_: images * np.float32(np.nan))
    with pytest.raises(DivergenceError, match="No update was made before: look at the images"):
        run.fit(1)


def test_no_checkpoint_is_made_of_what_is_not_finite() -> None:
    """After an update that overflowed the loss of its step is still finite."""
    run = trainer()
    run.fit(1)
    capture(run)
    names = [n for n, _ in run.model.named_parameters()]
    p = dict(run.model.named_parameters())[names[-1]]
    array = p.numpy()
    array.reshape(-1)[1] = np.nan
    p.copy_(array)
    message = rf"stopped: after step 5, model/{names[-1]}: 1 of \d+ elements not finite \(1 NaN\)"
    with pytest.raises(DivergenceError, match=message):
        capture(run)


def test_the_option_decides_no_numbers() -> None:
    watched = Config.of({"train": {"detect_anomaly": True}})
    assert watched.train.detect_anomaly
    assert watched.decisive() == Config().decisive()

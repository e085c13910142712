"""The one training loop: phases of a model, checkpoints that go on bit for bit, logs, samples.

    train("dcgan", config, data, "runs/dcgan", seed=0)

A run is a folder: `checkpoint.safetensors`, `log.jsonl` (a line for every `log_every` iterations),
TensorBoard's event files where that package is installed, and `samples/`. Calling it again goes on.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gandetect.gans.checkpoints import (
    FORMAT_VERSION,
    NAME,
    Checkpoint,
    optimizer_tensors,
    restore_module,
    restore_optimizer,
)
from gandetect.gans.config import Config
from gandetect.gans.data import Data
from gandetect.gans.distributed import Parallel
from gandetect.gans.logs import Logs
from gandetect.gans.model import Batch, GenerativeModel, Phase, Terms
from gandetect.gans.monitors import Watch
from gandetect.gans.registry import model_class
from gandetect.gans.sampling import sample, save_grid

PRECISIONS = ("float32", "bfloat16")
# (what, done, total)
Progress = Callable[[str, int, int], None]
_GRID = 64
# Their sigmoid is the probability that the discriminator gives.
_LOGISTIC = ("saturating", "nonsaturating")


@dataclass(frozen=True)
class Settings:
    """How a run is kept and watched; none of it changes what is learned, but for `precision`.

    `precision`: "float32", or "bfloat16" for autocast. `device`: of torch. The others are
    iterations between lines of the log, sample grids and checkpoints.
    """

    precision: str = "float32"
    device: str = "cpu"
    log_every: int = 50
    sample_every: int = 500
    save_every: int = 500


def train(
    name: str,
    config: Config,
    data: Data,
    folder: str | Path,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> GenerativeModel:
    """Train model `name` to `config.steps` iterations, or go on with what `folder` has of it.

    Returns the model with its running average in place, in eval mode. Under torchrun every process
    calls it, and gradients are averaged over them. Raises ValueError where the folder holds another
    model, configuration, seed or data, another training is at work there, or images have not the
    channels and size of the configuration, `Diverged` where a loss or a gradient is no number any
    more (the last checkpoint stays), and OSError as the disk has it. Ctrl-C leaves a checkpoint of
    the iteration that was reached.
    """
    settings = settings or Settings()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(name, config, data, seed=seed, settings=settings)
    if (folder / NAME).exists():
        trainer.restore(Checkpoint.load(folder / NAME))
    with _alone_in(folder) if trainer.parallel.is_first else contextlib.nullcontext():
        _run(trainer, folder, settings, progress)
    trainer.close()
    return trainer.averaged()


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two runs in one folder would overwrite each other's checkpoints."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"{folder}: another training is at work there") from error
    try:
        yield
    finally:
        lock.release()


def _run(trainer: Trainer, folder: Path, settings: Settings, progress: Progress | None) -> None:
    """Iterate to the end; checkpoints take every process, logs and samples the first alone."""
    total = trainer.model.config.steps
    diary = _Diary(trainer, folder, settings, progress) if trainer.parallel.is_first else None
    with diary or contextlib.nullcontext(), _deferred_interrupt() as pressed:
        try:
            while trainer.step < total:
                terms = trainer.iterate()
                if diary:
                    diary.enter(terms)
                stopping = trainer.parallel.any(pressed.is_set())
                if stopping or trainer.step == total or trainer.step % settings.save_every == 0:
                    _save(trainer, folder)
                if stopping:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            # One that was not deferred; with several processes the others know nothing of it.
            if not pressed.is_set() and trainer.parallel.size == 1:
                _save(trainer, folder)
            raise


def _save(trainer: Trainer, folder: Path) -> None:
    checkpoint = trainer.checkpoint()
    if trainer.parallel.is_first:
        checkpoint.save(folder / NAME)


@contextlib.contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C sets the event and nothing else: no checkpoint can hold half an iteration."""
    pressed = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return
    signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Diary:
    """What one process keeps of a run: its log, samples, warnings, and the bar."""

    def __init__(
        self, trainer: Trainer, folder: Path, settings: Settings, progress: Progress | None
    ) -> None:
        self._trainer, self._folder, self._settings = trainer, folder, settings
        self._progress = progress
        self._watch = Watch(trainer.data, loss=getattr(trainer.model.config, "loss", None))
        self._logs = Logs(folder, trainer.step)
        # Images drawn in a second, once some were.
        self._speed: float | None = None

    def __enter__(self) -> _Diary:
        self._logs.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._logs.__exit__(*error)

    def enter(self, terms: Mapping[str, float]) -> None:
        """Keep the terms of the iteration that was just made; raises `Diverged`."""
        step, total = self._trainer.step, self._trainer.model.config.steps
        self._watch.check(step, terms)
        self._logs.add(terms)
        if self._progress:
            told = _told(self._trainer.model, terms)
            speed = "" if self._speed is None else f" {self._speed:.0f} images/s drawn"
            self._progress(told + speed, step, total)
        if step == total or step % self._settings.log_every == 0:
            self._logs.write(step, self._watch.warnings())
        if step == total or step % self._settings.sample_every == 0:
            self._show()

    def _show(self) -> None:
        trainer = self._trainer
        model, asked = trainer.averaged(), trainer.shown(_GRID)
        begun = time.monotonic()
        images = sample(model, _GRID, seed=trainer.seed, **asked)
        self._speed = len(images) / max(time.monotonic() - begun, 1e-9)
        save_grid(images, self._folder / "samples" / f"step-{trainer.step:07d}.png")
        self._logs.image(trainer.step, images)
        found = self._watch.look(images) | {"samples/images_per_s": self._speed}
        self._logs.scalars(trainer.step, found)


def _told(model: GenerativeModel, terms: Mapping[str, float]) -> str:
    """The losses of an iteration, and where they are logistic the probabilities of being real."""
    told = [model.name]
    told += [
        f"{key.split('/')[0][0].upper()} {v:.2f}" for key, v in terms.items() if "/loss" in key
    ]
    if getattr(model.config, "loss", None) in _LOGISTIC and "discriminator/real" in terms:
        for name, key in (("D(x)", "real"), ("D(G(z))", "generated")):
            logit = torch.tensor(terms[f"discriminator/{key}"])
            told.append(f"{name} {logit.sigmoid():.2f}")
    return " ".join(told)


class Trainer:
    """A model in training: what an iteration does, and its state as a checkpoint."""

    def __init__(
        self,
        name: str,
        config: Config,
        data: Data,
        *,
        seed: int = 0,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        if settings.precision not in PRECISIONS:
            raise ValueError(f"precision={settings.precision!r} given; choose from {PRECISIONS}")
        self.data, self.seed, self.settings, self.step = data, seed, settings, 0
        self.device = torch.device(settings.device)
        self.parallel = Parallel(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = model_class(name)(config).to(self.device)
            # Afresh, so that models that differ in one layer see the same latents and images.
            torch.manual_seed(seed + 1 + self.parallel.rank)
            self._random = self._random_state()
        self.average = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True
        )
        self.players = self.model.players()
        self.optimizers = {
            key: torch.optim.Adam(player.parameters(), player.rate, player.betas, player.eps)
            for key, player in self.players.items()
        }
        self._terms = {
            key: self.parallel.wrapped(self.model, player) for key, player in self.players.items()
        }

    def iterate(self) -> dict[str, float]:
        """One iteration: every phase that is due. Returns the terms as `phase/term`."""
        found: dict[str, float] = {}
        with self._own_random_numbers():
            self.model.train()
            self.model.at_step(self.step)
            for player in self.model.restarts(self.step):
                self.optimizers[player].state.clear()
            factor = self.model.rate_at(self.step)
            for phase in self.model.phases():
                if phase.is_due(self.step):
                    for _ in range(phase.repeats):
                        found |= self._take(phase, factor)
            self.average.update_parameters(self.model)
            self.step += 1
        return found

    def _take(self, phase: Phase, factor: float) -> dict[str, float]:
        """One step of a phase."""
        optimizer, player = self.optimizers[phase.player], self.players[phase.player]
        for group in optimizer.param_groups:
            group["lr"] = factor * player.rate
        batch = self._batch()
        with self._only_training(phase.player):
            with torch.autocast(
                self.device.type, torch.bfloat16, self.settings.precision == "bfloat16"
            ):
                terms: Terms = self._terms[phase.player](phase, batch)
            optimizer.zero_grad(set_to_none=True)
            terms["loss"].backward()  # type: ignore[no-untyped-call]
        slopes = [p.grad for p in player.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(slopes)
        optimizer.step()
        told = {f"{phase.name}/{key}": float(value.detach()) for key, value in terms.items()}
        return told | {f"{phase.name}/gradient": float(norm)}

    def _batch(self) -> Batch:
        config = self.model.config
        drawn = self.data.batch(config.batch)
        shape = tuple(drawn["images"].shape[1:])
        wanted = (config.channels, config.size, config.size)
        if shape != wanted:
            raise ValueError(
                f"images of shape {shape} given to a {self.model.name} of {wanted}; want "
                "images of its size and channels, or channels and size of the images"
            )
        return {key: as_input(value).to(self.device) for key, value in drawn.items()}

    @contextlib.contextmanager
    def _only_training(self, player: str) -> Iterator[None]:
        """Gradients go into this player's parameters alone, which saves computing the others'."""
        mine = {id(one) for one in self.players[player].parameters()}
        parameters = list(self.model.parameters())
        before = [one.requires_grad for one in parameters]
        for one in parameters:
            one.requires_grad_(id(one) in mine)
        try:
            yield
        finally:
            for one, wanted in zip(parameters, before, strict=True):
                one.requires_grad_(wanted)

    @contextlib.contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        """Everything random of an iteration comes from one state, which checkpoints keep."""
        on_cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=on_cuda):
            torch.set_rng_state(self._random["cpu"])
            for device in on_cuda:
                torch.cuda.set_rng_state(self._random["cuda"], device)
            yield
            self._random = self._random_state()

    def _random_state(self) -> dict[str, Tensor]:
        found = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            found["cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def close(self) -> None:
        """Part from the other processes; no iteration follows."""
        self._terms.clear()
        self.parallel.close()

    def averaged(self) -> GenerativeModel:
        """A copy with the running average of the weights, in eval mode."""
        with torch.random.fork_rng(devices=[]):
            copy = type(self.model)(self.model.config).to(self.device)
        copy.load_state_dict(self.average.module.state_dict())
        copy.at_step(self.step)
        return copy.eval().requires_grad_(False)

    def shown(self, count: int) -> dict[str, Any]:
        """The conditions that `count` images are shown with, the same at every look."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            drawn = self.data.batch(count)
        batch = {key: as_input(value).to(self.device) for key, value in drawn.items()}
        return self.model.conditions(batch)

    def checkpoint(self) -> Checkpoint:
        """The state after the last whole iteration; every process calls it."""
        tensors = {f"weights.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.module.state_dict().items()}
        for key, optimizer in self.optimizers.items():
            kept = optimizer_tensors(optimizer)
            tensors |= {f"optimizer.{key}.{k}": v for k, v in kept.items()}
        # Copies: parts of one storage cannot be stored apart.
        tensors = {k: v.detach().cpu().clone() for k, v in tensors.items()}
        for rank, state in enumerate(self.parallel.gathered(self._random)):
            tensors |= {f"{_random_of(rank)}.{k}": v for k, v in state.items()}
        tensors["averaged"] = self.average.n_averaged.cpu().clone()
        # One round trip, so that the card in memory is the card that will be read.
        return Checkpoint(json.loads(json.dumps(self._card())), tensors)

    def _card(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "model": self.model.name,
            "config": self.model.config.to_dict(),
            "seed": self.seed,
            "step": self.step,
            "data": self.data.card(),
            "precision": self.settings.precision,
            "processes": self.parallel.size,
            "torch": torch.__version__,
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from `checkpoint`; ValueError where it belongs to another run."""
        card = checkpoint.card
        # How long to train may change: it is no part of what was learned so far.
        ours = {**self.model.config.to_dict(), "steps": card["config"].get("steps")}
        defaults = type(self.model.config)().to_dict()
        checkpoint.check_model(self.model.name, ours, defaults)
        own = json.loads(json.dumps(self._card()))
        for key in ("seed", "data", "precision", "processes"):
            if card.get(key) != (mine := own[key]):
                raise ValueError(f"this run has {key} {card.get(key)!r}; {mine!r} given")
        restore_module(self.model, checkpoint.part("weights"), "weights")
        restore_module(self.average.module, checkpoint.part("average"), "running average")
        for key, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, checkpoint.part(f"optimizer.{key}"))
        self.average.n_averaged.copy_(_averaged(checkpoint))
        self._random = self._checked_random(checkpoint.part(_random_of(self.parallel.rank)))
        self.step = int(card["step"])

    def _checked_random(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """What `_random_state` was; ValueError where it is of another kind of device."""
        if state.keys() != self._random.keys():
            theirs = "cuda" if "cuda" in state else "cpu"
            raise ValueError(
                f"this run has random numbers of device {theirs!r}; {self.device.type!r} given"
            )
        for name, own in self._random.items():
            if state[name].dtype != own.dtype or state[name].shape != own.shape:
                raise ValueError(f"the checkpoint's random numbers of {name!r} are none of torch's")
        return state


def _averaged(checkpoint: Checkpoint) -> Tensor:
    """How many iterations the running average has seen."""
    found = checkpoint.tensors.get("averaged")
    if found is None or found.shape or found.dtype != torch.int64:
        raise ValueError("the checkpoint does not say how long its running average is")
    return found


def _random_of(rank: int) -> str:
    """What the random numbers of process `rank` are called in a checkpoint."""
    return f"rng-{rank}" if rank else "rng"


def as_input(values: Tensor) -> Tensor:
    """uint8 images (N, C, H, W), 0..255, as float32 in -1..1; anything else as it is."""
    is_image = values.dtype == torch.uint8 and values.dim() == 4
    return values.float() / 127.5 - 1 if is_image else values

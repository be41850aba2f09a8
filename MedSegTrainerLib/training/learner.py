"""One training step: forward, loss, backward, clip, move the weights, follow with the average."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import nn

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.hardware.device import Precision, same_shapes
from MedSegTrainerLib.hardware.distributed import ALONE, Ranks
from MedSegTrainerLib.losses.plan_loss import plan_loss
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.forward import to_channels_last
from MedSegTrainerLib.networks.layers import to_rows
from MedSegTrainerLib.training.compiled import Compiled, compile_network
from MedSegTrainerLib.training.ema import WeightAverage
from MedSegTrainerLib.training.optimizers import build_optimizer, set_rate


class Learner:
    """A network and everything that changes it, built from a plan; each of several ranks has a copy of it all."""

    def __init__(
        self,
        plan: Plan,
        config: TrainConfig,
        device: torch.device,
        ranks: Ranks = ALONE,
        begin_as: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """begin_as: weights to begin with; without them they are drawn."""
        self.plan, self.device, self.ranks = plan, device, ranks
        self.network = build_network(plan.architecture, plan.network)
        if begin_as is not None:
            self.network.load_state_dict(dict(begin_as))
        self.network = self.network.to(device)
        if ranks.count > 1 and device.type == "cuda":
            self.network = nn.SyncBatchNorm.convert_sync_batchnorm(self.network)
        if plan.channels_last:
            self.network = to_channels_last(self.network, plan.dims)
        ranks.broadcast_tensors(list(self.network.state_dict().values()))
        self.optimizer = build_optimizer(
            self.network, plan.optimizer_type, plan.learning_rate, plan.weight_decay, config.optimizer
        )
        self.loss = plan_loss(plan, device, plan.spacing)
        self.precision = Precision(device, plan.mixed_precision)
        self.average = WeightAverage(self.network, plan.ema_decay)
        self.clip, self.clip_type = plan.gradient_clip, config.trainer.gradient_clip_type
        self.compiled = self._compile() if plan.compiled else None
        self.learning: Collection[str] | None = None
        self.still: list[nn.Parameter] = []

    def hold(self, learning: Collection[str] | None) -> None:
        """From now on the weights of these names alone learn; None: all of them."""
        if learning == self.learning:
            return
        named, self.learning = self.network.named_parameters(), learning
        self.still = [] if learning is None else [weight for name, weight in named if name not in learning]

    def step(self, batches: Iterable[Batch], count: int, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Moves the weights by the mean gradient of ``count`` batches, of each of which this rank has its share.

        Returns the loss (of this rank's share; over all ranks they add up to the mean) and the norm of the gradient
        before clipping, scalars on the device.
        """
        self.network.train()
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for batch in batches:
            share = 1.0 if self.ranks.count == 1 else len(batch[0]) / self.plan.batch_size
            with same_shapes(self.device):
                loss = self._loss(batch) * (share / count)
                self.precision.backward(loss)
            total = total + loss.detach()
        for weight in self.still:
            weight.grad = None
        self.ranks.all_reduce([weight.grad for weight in self.network.parameters() if weight.grad is not None])
        self.precision.unscale(self.optimizer)
        norm = self._clip()
        self.precision.step(self.optimizer)
        self.average.follow(self.network)
        return total, norm

    def is_finite(self) -> bool:
        """Whether every weight is a finite number; waits for the device."""
        return bool(torch.stack(torch._foreach_norm(list(self.network.parameters()))).isfinite().all())

    def _loss(self, batch: Batch) -> torch.Tensor:
        logits = self.forward(batch[0])
        loss = self.loss(logits, self._targets(batch[1]))
        if len(batch) == 4:
            loss = batch[3] * loss + (1 - batch[3]) * self.loss(logits, self._targets(batch[2]))
        return loss

    def _targets(self, labels: torch.Tensor) -> torch.Tensor:
        return labels[:, 0] if self.plan.dims == 2 else labels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Logits, full resolution first, of (B, C, z, y, x) images; in 2D of their one slice.

        Neighbouring slices, where there are any, are among the channels.
        """
        flat = self._flat(images)
        is_compiled = self.compiled is not None and self.network.training and self.compiled.fits(flat)
        run = self.compiled.run if is_compiled else self.network  # type: ignore[union-attr]
        with self.precision.forward():
            return run(flat)  # type: ignore[misc]

    def _flat(self, images: torch.Tensor) -> torch.Tensor:
        flat = images[:, :, 0] if self.plan.dims == 2 else images
        return to_rows(flat) if self.plan.channels_last else flat

    def _compile(self) -> Compiled:
        own = self.ranks.share(self.plan.batch_size)
        shape = (own.stop - own.start, self.plan.network["in_channels"], *self.plan.patch_size)
        images = torch.zeros(shape, device=self.device)
        return compile_network(self.network.train(), self._flat(images), self.precision)

    def _clip(self) -> torch.Tensor:
        weights = list(self.network.parameters())
        limit = self.clip if self.clip is not None and self.clip_type == "norm" else float("inf")
        norm = nn.utils.clip_grad_norm_(weights, limit)
        if self.clip is not None and self.clip_type == "value":
            nn.utils.clip_grad_value_(weights, self.clip)
        return norm

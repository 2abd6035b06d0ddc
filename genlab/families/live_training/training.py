"""One training between two steps: network, optimizers, data, randomness. Knows no loop.

It is rebuilt from its request for every request, and goes on as if it had never stopped.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from genlab.families.live_training.data import SPREAD, ring
from genlab.families.live_training.networks import build_network
from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.families.vae.train import elbo_terms
from genlab.requests import UserError
from genlab.training.data import Minibatches, to_network

STEP = "step"
DAMAGED = "The training cannot go on from there: its state is damaged or of another training."


class Training:
    """What the loops work with.

    Args:
        request: settings, and the state to go on from.
        digits: uint8 (N, 28, 28), for what learns digits.
        device: where it trains.

    Raises:
        UserError: the request's state is none of this training.
    """

    def __init__(self, request: TrainRequest, digits: Tensor, device: torch.device) -> None:
        self.subject = SUBJECTS[request.subject]
        self.device = device
        self.step = 0
        self.kl_weight = request.kl_weight
        self.generator_updates = request.generator_updates
        self._seed = request.seed
        self._digits = digits
        self._batches = Minibatches(len(digits), self.subject.batch_size, request.seed)
        self._random = torch.Generator()
        network: Any = build_network(request.subject, request.latent_dim, request.seed)
        self.network: Any = network.to(device).train()
        parts = self.trained_parts()
        momentum = 0.9 if self.subject.family == "vae" else 0.5  # 1511.06434
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(part.parameters(), betas=(momentum, 0.999), fused=True)
            for name, part in parts.items()
        }
        if request.state:
            self._load(request.state)
        for name, optimizer in self.optimizers.items():
            rate = request.discriminator_rate if name == "discriminator" else request.learning_rate
            for group in optimizer.param_groups:
                group["lr"] = rate

    # --- what a loop asks for -----------------------------------------------------------------

    def batch(self) -> Tensor:
        """The examples of this step, (B, 1, 28, 28) in [-1, 1] or points (B, 2), on the CPU.

        The step's random numbers begin with it: they depend on seed and step alone.
        """
        self._random.manual_seed(self._seed * 1_000_003 + self.step)
        if self.subject.data == "points":
            return ring(self.subject.batch_size, self._random)
        return to_network(self._digits[self._batches.indices(self.step)])

    def noise(self, count: int) -> Tensor:
        """Standard normal (count, latent_dim) on the device."""
        shape = (count, self.network.latent_dim)
        noise = torch.randn(shape, generator=self._random, dtype=torch.float32)
        return noise.to(self.device)

    def elbo_terms(
        self, x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Reconstruction error and KL, in nats an example; see the VAE family's `elbo_terms`.

        Points have a Gaussian likelihood as wide as their clusters, without its constant.
        """
        if self.subject.data == "digits":
            return elbo_terms(x, logits, mu, logvar)
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
        return (x - logits).square().sum(1).mean() / (2 * SPREAD**2), kl

    # --- what remains of it -------------------------------------------------------------------

    @torch.no_grad()
    def samples(self, z: Tensor) -> Tensor:
        """What the network draws from codes (N, latent_dim) now, on the CPU."""
        self.network.eval()
        decode = self.network.decode if self.subject.family == "vae" else self.network.generator
        drawn = decode(z.to(self.device)).cpu()
        self.network.train()
        return drawn

    def state(self) -> bytes:
        """Weights, optimizers and step as a safetensors file."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for k, values in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{k}.{key}": v for key, v in values.items()}
        tensors[STEP] = torch.tensor(self.step)
        return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})

    def _load(self, state: bytes) -> None:
        try:
            tensors = load(state)
            self.step = int(tensors.pop(STEP))
            prefix = "network."
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            self.network.load_state_dict(own)
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(
                    {"state": _nested(tensors, f"optimizer.{name}."),
                     "param_groups": optimizer.state_dict()["param_groups"]}
                )  # fmt: skip
        except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
            raise UserError(DAMAGED) from error

    def trained_parts(self) -> dict[str, nn.Module]:
        """The networks that have an optimizer of their own, by name."""
        if self.subject.family == "vae":
            return {"network": self.network}
        names = ("generator", "discriminator")
        return {name: getattr(self.network, name) for name in names}


def _nested(tensors: dict[str, Tensor], prefix: str) -> dict[int, dict[str, Tensor]]:
    """``<prefix>3.exp_avg`` as an optimizer has it: {3: {"exp_avg": ...}}."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, _, key = name.removeprefix(prefix).partition(".")
            state.setdefault(int(index), {})[key] = tensor
    return state

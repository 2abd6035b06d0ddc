"""The small networks that are trained live, beside the families' own. They know no loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from genlab.families.gan.network import DCGAN
from genlab.families.vae.network import ConvVAE
from genlab.formats.building import without_weights

PIXELS = 28 * 28


class DenseVAE(nn.Module, PyTorchModelHubMixin):
    """784 - hidden - z - hidden - 784 with the layers' names of PyTorch's own VAE example.

    Args:
        latent_dim: number of latent variables.
        hidden: width of the layers between.
    """

    def __init__(self, latent_dim: int, hidden: int = 400) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.fc1 = nn.Linear(PIXELS, hidden)
        self.fc21 = nn.Linear(hidden, latent_dim)  # mu
        self.fc22 = nn.Linear(hidden, latent_dim)  # logvar
        self.fc3 = nn.Linear(latent_dim, hidden)
        self.fc4 = nn.Linear(hidden, PIXELS)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`mu` and `logvar`, each (B, latent_dim), of images (B, 1, 28, 28) in [-1, 1]."""
        h = self.fc1((images.flatten(1) + 1) / 2).relu()
        return self.fc21(h), self.fc22(h).clamp(-30.0, 20.0)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Bernoulli logits (B, 1, 28, 28) of codes (B, latent_dim)."""
        return self.fc4(self.fc3(z).relu()).unflatten(1, (1, 28, 28))

    def decode(self, z: Tensor) -> Tensor:
        """Mean images (B, 1, 28, 28) in [-1, 1] of codes (B, latent_dim)."""
        return 2.0 * torch.sigmoid(self.decode_logits(z)) - 1.0


class DenseGAN(nn.Module, PyTorchModelHubMixin):
    """Generator and discriminator of fully connected layers, for 28x28 grey images.

    Args:
        latent_dim: dimension of the standard normal z.
        hidden: widths of the generator's layers; the discriminator has them in reverse.
    """

    def __init__(self, latent_dim: int = 64, hidden: tuple[int, int] = (256, 512)) -> None:
        super().__init__()
        small, large = hidden
        self.latent_dim = latent_dim
        self.generator = nn.Sequential(
            nn.Linear(latent_dim, small),
            nn.LeakyReLU(0.2),
            nn.Linear(small, large),
            nn.LeakyReLU(0.2),
            nn.Linear(large, PIXELS),
            nn.Tanh(),
            nn.Unflatten(1, (1, 28, 28)),
        )
        self.discriminator = nn.Sequential(
            nn.Flatten(),
            nn.Linear(PIXELS, large),
            nn.LeakyReLU(0.2),
            nn.Linear(large, small),
            nn.LeakyReLU(0.2),
            nn.Linear(small, 1),
            nn.Flatten(0),  # (B,)
        )


class PointVAE(nn.Module):
    """A VAE of points in the plane: Gaussian posterior, Gaussian likelihood."""

    def __init__(self, latent_dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = _plane(2, hidden, 2 * latent_dim)
        self.decoder = _plane(latent_dim, hidden, 2)

    def encode(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior `mu` and `logvar`, each (B, latent_dim), of points (B, 2)."""
        mu, logvar = self.encoder(points).chunk(2, dim=1)
        return mu, logvar.clamp(-30.0, 20.0)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Mean points (B, 2) of codes (B, latent_dim); a Gaussian has no logits but its mean."""
        return self.decoder(z)

    decode = decode_logits


class PointGAN(nn.Module):
    """A GAN of points in the plane."""

    def __init__(self, latent_dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.generator = _plane(latent_dim, hidden, 2)
        self.discriminator = nn.Sequential(_plane(2, hidden, 1), nn.Flatten(0))


def _plane(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


def build_network(subject: str, latent_dim: int, seed: int) -> nn.Module:
    """The network of a subject, its weights drawn from the seed.

    They are drawn from a generator of their own, and the network is built without any: somebody
    else may be using PyTorch's at the same time. Nor is torch.nn.init used, which does nothing in
    the whole process while another thread opens a pipeline, see `formats/building.py`.
    """
    build: Callable[[], nn.Module] = {
        "points-gan": lambda: PointGAN(latent_dim),
        "points-vae": lambda: PointVAE(latent_dim),
        "mlp-vae": lambda: DenseVAE(latent_dim),
        "conv-vae": lambda: ConvVAE(latent_dim, channels=(16, 32)),
        "mlp-gan": lambda: DenseGAN(latent_dim),
        "conv-gan": lambda: DCGAN(latent_dim, channels=(16, 32)),
    }[subject]
    network: nn.Module = without_weights(build)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.reset_running_stats()
            module.weight.data.fill_(1.0)
            module.bias.data.zero_()
        elif isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if subject == "conv-gan" and not isinstance(module, nn.Linear):
                module.weight.data.normal_(0.0, 0.02, generator=generator)  # 1511.06434
            else:
                bound = module.weight[0].numel() ** -0.5  # 1 / sqrt(fan in), PyTorch's own
                module.weight.data.uniform_(-bound, bound, generator=generator)
            assert module.bias is not None
            module.bias.data.zero_()
    return network

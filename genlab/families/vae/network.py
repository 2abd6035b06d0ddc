"""A convolutional VAE for 28x28 grey images. It knows no loss and no training."""

from __future__ import annotations

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn


class ConvVAE(nn.Module, PyTorchModelHubMixin):
    """Gaussian posterior, standard normal prior, Bernoulli pixels (Kingma & Welling, 1312.6114).

    Args:
        latent_dim: number of latent variables.
        channels: widths of the convolutions at 14x14 and 7x7.
        hidden: width of the fully connected layers on either side of the code.
        depth: how many of them; a code of two numbers needs more than one to unfold.
        blocks: residual blocks at 7x7, of the encoder and of the decoder alike.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: tuple[int, int] = (16, 32),
        hidden: int = 256,
        depth: int = 1,
        blocks: int = 0,
    ) -> None:
        super().__init__()
        c1, c2 = channels
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(1, c1, 4, stride=2, padding=1),
            nn.ReLU(),  # (B, c1, 14, 14)
            nn.Conv2d(c1, c2, 4, stride=2, padding=1),
            nn.ReLU(),  # (B, c2, 7, 7)
            *(Residual(c2) for _ in range(blocks)),
            nn.Flatten(),
            nn.Linear(c2 * 7 * 7, hidden),
            nn.ReLU(),
            *_more(hidden, depth),
            nn.Linear(hidden, 2 * latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden),
            nn.ReLU(),
            *_more(hidden, depth),
            nn.Linear(hidden, c2 * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (c2, 7, 7)),
            *(Residual(c2) for _ in range(blocks)),
            nn.ConvTranspose2d(c2, c1, 4, stride=2, padding=1),
            nn.ReLU(),  # (B, c1, 14, 14)
            nn.ConvTranspose2d(c1, 1, 4, stride=2, padding=1),
        )
        if blocks:  # deep enough to need He initialisation (1502.01852)
            for module in (*self.encoder[:-1].modules(), *self.decoder[:-1].modules()):
                if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                    assert module.bias is not None
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Residual):
                last = module.f[-1]
                assert isinstance(last, nn.Conv2d)
                nn.init.zeros_(last.weight)  # without batch norm: a block begins as x

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior `mu` and `logvar`, each (B, latent_dim), of images (B, 1, 28, 28)."""
        mu, logvar = self.encoder(images).chunk(2, dim=1)
        # Without the KL term nothing bounds logvar: exp() of it must stay finite.
        return mu, logvar.clamp(-30.0, 20.0)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Bernoulli logits (B, 1, 28, 28) of codes (B, latent_dim)."""
        return self.decoder(z)

    def decode(self, z: Tensor) -> Tensor:
        """Mean images (B, 1, 28, 28) in [-1, 1] of codes (B, latent_dim)."""
        return 2.0 * torch.sigmoid(self.decode_logits(z)) - 1.0

    @staticmethod
    def reparameterize(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
        """z = mu + sigma * noise (1312.6114, eq. 4); every tensor (B, latent_dim)."""
        return mu + torch.exp(0.5 * logvar) * noise


class Residual(nn.Module):
    """relu(x + f(x)) with two convolutions in f (He et al., 1512.03385), without batch norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.f(x)).relu()


def _more(hidden: int, depth: int) -> list[nn.Module]:
    """The fully connected layers beyond the first."""
    return [layer for _ in range(depth - 1) for layer in (nn.Linear(hidden, hidden), nn.ReLU())]

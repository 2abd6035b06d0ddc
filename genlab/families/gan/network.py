"""A DCGAN for 28x28 grey images, both networks in one module. It knows no training."""

from __future__ import annotations

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn


class DCGAN(nn.Module, PyTorchModelHubMixin):
    """Generator and discriminator after Radford et al. (1511.06434), two strided layers each.

    The fully connected layers beside them are InfoGAN's for MNIST (1606.03657, appendix C.1).

    Args:
        latent_dim: dimension of the standard normal z.
        channels: widths at 14x14 and 7x7, the same for both networks.
        hidden: width of the fully connected layer next to z, and of the one before the verdict.
        batch_norm: as the paper has it; False makes training as fragile as it was before it.
    """

    def __init__(
        self,
        latent_dim: int = 64,
        channels: tuple[int, int] = (32, 64),
        hidden: int = 128,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        c1, c2 = channels
        self.latent_dim = latent_dim

        def norm(width: int, dimensions: int = 2) -> nn.Module:
            if not batch_norm:
                return nn.Identity()
            return nn.BatchNorm2d(width) if dimensions == 2 else nn.BatchNorm1d(width)

        self.generator = nn.Sequential(
            nn.Linear(latent_dim, hidden),
            norm(hidden, dimensions=1),
            nn.ReLU(),
            nn.Linear(hidden, c2 * 7 * 7),
            nn.Unflatten(1, (c2, 7, 7)),
            norm(c2),
            nn.ReLU(),
            nn.ConvTranspose2d(c2, c1, 4, stride=2, padding=1),
            norm(c1),
            nn.ReLU(),  # (B, c1, 14, 14)
            nn.ConvTranspose2d(c1, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(
            nn.Conv2d(1, c1, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),  # (B, c1, 14, 14)
            nn.Conv2d(c1, c2, 4, stride=2, padding=1),
            norm(c2),
            nn.LeakyReLU(0.2),  # (B, c2, 7, 7)
            nn.Flatten(),
            nn.Linear(c2 * 7 * 7, hidden),
            norm(hidden, dimensions=1),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1),
            nn.Flatten(0),  # (B,)
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)  # 1511.06434, section 4

    def forward(self, z: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) in [-1, 1] of z (B, latent_dim)."""
        return self.generator(z)

    def score(self, images: Tensor) -> Tensor:
        """The discriminator's logits (B,) of images (B, 1, 28, 28) in [-1, 1]."""
        return self.discriminator(images)

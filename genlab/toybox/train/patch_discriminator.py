"""A discriminator of patches that sees what is soft, and how much its word counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPENED = 4.0
"""How strongly a pixel's difference from its neighbours is shown beside the pixel."""
CLEARLY = 0.25
"""From what difference of a channel, of 2 in all, a pixel is an object's and not the ground's."""


class PatchDiscriminator(nn.Module):
    """Says of each patch of 22x22 pixels how real it looks.

    It is shown what each pixel differs from the mean of its neighbourhood by, beside the picture:
    without that it hardly told decoded pictures from real ones (docs/decisions/0014).

    Source: Isola et al., "Image-to-image translation", 2017 (arXiv:1611.07004), section 3.2.2, with
    group normalisation in place of batch normalisation, which learns slower here.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(6, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, 1, 1, bias=False),
            nn.GroupNorm(8, 4 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to logits (B, 1, H / 4 - 1, W / 4 - 1)."""
        blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return self.layers(torch.cat([images, SHARPENED * (images - blurred)], dim=1))


def near_objects(images: Tensor) -> Tensor:
    """1 for each patch of `PatchDiscriminator` in which there is an object, else 0.

    The ground is each picture's median colour, not one of its pixels: those of a decoder are not
    all alike, and a wrong one made the whole ground an object.

    Args:
        images: (B, 3, H, W) in [-1, 1]; objects cover less than half of each.

    Returns:
        (B, 1, H / 4 - 1, W / 4 - 1).
    """
    ground = images.flatten(2).median(dim=2).values[:, :, None, None]
    is_object = (images - ground).abs().amax(dim=1, keepdim=True) > CLEARLY
    height, width = images.shape[-2:]
    return F.adaptive_max_pool2d(is_object.float(), (height // 4 - 1, width // 4 - 1))


def mean_where(values: Tensor, where: Tensor) -> Tensor:
    """The mean of the values at which `where`, of the same shape, is 1; 0 if there are none."""
    return (values * where).sum() / where.sum().clamp(min=1)


def in_proportion(loss: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """A loss scaled so that its gradient at a weight is as long as the reference's."""
    norms = [
        torch.autograd.grad(each, weight, retain_graph=True)[0].norm() for each in (reference, loss)
    ]
    return loss * (norms[0] / (norms[1] + 1e-4)).clamp(max=1e4).detach()

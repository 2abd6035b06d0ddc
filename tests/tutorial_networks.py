"""Networks as widely read tutorials define them, untrained: what students bring to be imported.

Each class keeps the names, the order and the forward pass of its model; only the widths are smaller
where nothing depends on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def vivid(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights large enough for pictures with contrast, and batch norms that have seen something."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: Tensor, std: float) -> None:
        with torch.no_grad():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * std)

    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)):
            fan_in = part.weight[0].numel()
            if isinstance(part, nn.ConvTranspose2d):
                stride = part.stride[0]
                fan_in = max(1, part.weight.numel() // part.out_channels // stride**2)
            normal(part.weight, 1.7 * fan_in**-0.5)
            if getattr(part, "bias", None) is not None:
                normal(part.bias, 0.2)
        elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            normal(part.running_mean, 0.3)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            normal(part.bias, 0.3)
            part.num_batches_tracked.fill_(7)
    return module.eval()


class PyTorchExamplesVAE(nn.Module):
    """pytorch/examples, vae/main.py: fc1, fc21, fc22, fc3, fc4."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h1 = F.relu(self.fc1(x.flatten(1)))
        return self.fc21(h1), self.fc22(h1)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))


class DeepVAE(nn.Module):
    """lyeoni/pytorch-mnist-VAE: two hidden layers, fc31 and fc32."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 512)
        self.fc2 = nn.Linear(512, 256)
        self.fc31 = nn.Linear(256, 2)
        self.fc32 = nn.Linear(256, 2)
        self.fc4 = nn.Linear(2, 256)
        self.fc5 = nn.Linear(256, 512)
        self.fc6 = nn.Linear(512, 784)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))
        return self.fc31(h), self.fc32(h)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.fc6(F.relu(self.fc5(F.relu(self.fc4(z))))))


class _KangEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.FC_input = nn.Linear(784, 100)
        self.FC_input2 = nn.Linear(100, 100)
        self.FC_mean = nn.Linear(100, 50)
        self.FC_var = nn.Linear(100, 50)
        self.LeakyReLU = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.LeakyReLU(self.FC_input2(self.LeakyReLU(self.FC_input(x))))
        return self.FC_mean(h), self.FC_var(h)


class _KangDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.FC_hidden = nn.Linear(50, 100)
        self.FC_hidden2 = nn.Linear(100, 100)
        self.FC_output = nn.Linear(100, 784)
        self.LeakyReLU = nn.LeakyReLU(0.2)

    def forward(self, z: Tensor) -> Tensor:
        h = self.LeakyReLU(self.FC_hidden2(self.LeakyReLU(self.FC_hidden(z))))
        return torch.sigmoid(self.FC_output(h))


class KangVAE(nn.Module):
    """Jackson-Kang/Pytorch-VAE-tutorial: Encoder.FC_mean, Decoder.FC_hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.Encoder = _KangEncoder()
        self.Decoder = _KangDecoder()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.Encoder(x.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        return self.Decoder(z)


class SequentialVAE(nn.Module):
    """encoder and decoder as Sequentials, heads beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(),
        )  # fmt: skip
        self.mean_layer = nn.Linear(32, 2)
        self.logvar_layer = nn.Linear(32, 2)
        self.decoder = nn.Sequential(
            nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 784),
            nn.Sigmoid(),
        )  # fmt: skip

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x.flatten(1))
        return self.mean_layer(h), self.logvar_layer(h)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class SplitVAE(nn.Module):
    """The encoder's last layer gives mu and logvar at once."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 2 * 8)
        )
        self.decoder = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class ConvolutionalVAE(nn.Module):
    """conv1, conv2, fc_mu, fc_logvar, deconv1, deconv2: no Sequential at all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(16 * 7 * 7, 32)
        self.fc_mu = nn.Linear(32, 10)
        self.fc_logvar = nn.Linear(32, 10)
        self.fc2 = nn.Linear(10, 32)
        self.fc3 = nn.Linear(32, 16 * 7 * 7)
        self.deconv1 = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)
        self.deconv2 = nn.ConvTranspose2d(8, 1, 3, stride=2, padding=1, output_padding=1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.conv2(F.relu(self.conv1(x)))).flatten(1)
        h = F.relu(self.fc1(h))
        return self.fc_mu(h), self.fc_logvar(h)

    def decode(self, z: Tensor) -> Tensor:
        h = F.relu(self.fc3(F.relu(self.fc2(z)))).view(-1, 16, 7, 7)
        return torch.sigmoid(self.deconv2(F.relu(self.deconv1(h))))


class AntixVAE(nn.Module):
    """AntixK/PyTorch-VAE, models/vanilla_vae.py: colour, 64x64, tanh."""

    def __init__(self) -> None:
        super().__init__()
        widths = [8, 16, 32, 64, 128]
        modules, channels = [], 3
        for width in widths:
            modules.append(
                nn.Sequential(
                    nn.Conv2d(channels, width, 3, stride=2, padding=1),
                    nn.BatchNorm2d(width),
                    nn.LeakyReLU(),
                )
            )
            channels = width
        self.encoder = nn.Sequential(*modules)
        self.fc_mu = nn.Linear(widths[-1] * 4, 24)
        self.fc_var = nn.Linear(widths[-1] * 4, 24)
        self.decoder_input = nn.Linear(24, widths[-1] * 4)
        widths.reverse()
        self.decoder = nn.Sequential(
            *(
                nn.Sequential(
                    nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1),
                    nn.BatchNorm2d(b),
                    nn.LeakyReLU(),
                )
                for a, b in zip(widths, widths[1:], strict=False)
            )
        )
        self.final_layer = nn.Sequential(
            nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(),
            nn.Conv2d(8, 3, 3, padding=1),
            nn.Tanh(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x).flatten(1)
        return self.fc_mu(h), self.fc_var(h)

    def decode(self, z: Tensor) -> Tensor:
        return self.final_layer(self.decoder(self.decoder_input(z).view(-1, 128, 2, 2)))


class ConditionalVAE(nn.Module):
    """A CVAE: the one-hot class beside the picture, and beside z."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784 + 10, 100)
        self.fc21 = nn.Linear(100, 12)
        self.fc22 = nn.Linear(100, 12)
        self.fc3 = nn.Linear(12 + 10, 100)
        self.fc4 = nn.Linear(100, 784)

    def decode(self, z: Tensor, labels: Tensor) -> Tensor:
        code = torch.cat([z, F.one_hot(labels, 10).float()], 1)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(code))))


class LinderGAN(nn.Module):
    """eriklindernoren/PyTorch-GAN, gan.py: BatchNorm1d(n, 0.8)."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, normalize: bool = True) -> list[nn.Module]:
            layers: list[nn.Module] = [nn.Linear(inputs, outputs)]
            if normalize:
                layers.append(nn.BatchNorm1d(outputs, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(
            *block(100, 128, normalize=False), *block(128, 256), *block(256, 512),
            *block(512, 1024), nn.Linear(1024, 784), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z).view(-1, 1, 28, 28)


class LinderConditionalGAN(nn.Module):
    """eriklindernoren/PyTorch-GAN, cgan.py: an embedding of the class in front of z."""

    def __init__(self) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(10, 10)
        self.model = nn.Sequential(
            nn.Linear(110, 128), nn.LeakyReLU(0.2), nn.Linear(128, 256), nn.BatchNorm1d(256, 0.8),
            nn.LeakyReLU(0.2), nn.Linear(256, 784), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.model(torch.cat((self.label_emb(labels), z), -1)).view(-1, 1, 28, 28)


class OneHotGAN(nn.Module):
    """A class-conditional MLP generator: z and then the one-hot class."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(100 + 10, 64), nn.LeakyReLU(0.2), nn.Linear(64, 128), nn.LeakyReLU(0.2),
            nn.Linear(128, 784), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.main(torch.cat([z, F.one_hot(labels, 10).float()], 1)).view(-1, 1, 28, 28)


class LinderDCGAN(nn.Module):
    """eriklindernoren/PyTorch-GAN, dcgan.py: upsampling and convolutions, 32x32."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(100, 128 * 8**2))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(128),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, stride=1, padding=1),
            nn.BatchNorm2d(128, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, stride=1, padding=1),
            nn.BatchNorm2d(64, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, 1, 3, stride=1, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.conv_blocks(self.l1(z).view(-1, 128, 8, 8))


class AuxiliaryGAN(LinderDCGAN):
    """eriklindernoren/PyTorch-GAN, acgan.py: z times an embedding of the class."""

    def __init__(self) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(10, 100)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return super().forward(torch.mul(self.label_emb(labels), z))


class PyTorchDCGAN(nn.Module):
    """PyTorch's DCGAN tutorial: ``main``, no biases; 64x64 with 5 layers, 32x32 with 4."""

    def __init__(self, channels: int = 3, layers: int = 5, width: int = 8) -> None:
        super().__init__()
        widths = [width * 2**k for k in reversed(range(layers - 1))]
        modules: list[nn.Module] = [nn.ConvTranspose2d(100, widths[0], 4, 1, 0, bias=False)]
        for a, b in zip(widths, widths[1:], strict=False):
            modules += [nn.BatchNorm2d(a), nn.ReLU(True)]
            modules.append(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False))
        modules += [nn.BatchNorm2d(widths[-1]), nn.ReLU(True)]
        modules += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*modules)

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z.view(-1, 100, 1, 1))


class PyTorchDiscriminator(nn.Module):
    """The discriminator of PyTorch's DCGAN tutorial."""

    def __init__(self, channels: int = 3, width: int = 8) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 2, width * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 4),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 4, width * 8, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x).flatten()


class TensorFlowStyleDCGAN(nn.Module):
    """TensorFlow's DCGAN tutorial in PyTorch: 5x5 kernels from 7x7, 28x28."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(100, 7 * 7 * 32, bias=False),
            nn.BatchNorm1d(7 * 7 * 32),
            nn.ReLU(),
            nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 5, stride=1, padding=2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 5, stride=2, padding=2, output_padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 5, stride=2, padding=2, output_padding=1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class CourseraDCGAN(nn.Module):
    """The GANs specialization: ``gen`` of blocks without padding, 28x28."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 2) -> nn.Sequential:
            return nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, kernel, stride),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )

        self.gen = nn.Sequential(
            block(64, 32), block(32, 16, 4, 1), block(16, 8),
            nn.Sequential(nn.ConvTranspose2d(8, 1, 4, 2), nn.Tanh()),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.gen(z.view(-1, 64, 1, 1))


class CourseraGAN(nn.Module):
    """The GANs specialization's first week: an MLP with sigmoid."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
            )

        self.gen = nn.Sequential(
            block(10, 128), block(128, 256), block(256, 512), nn.Linear(512, 784), nn.Sigmoid()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.gen(z).view(-1, 1, 28, 28)


class PointwiseDCGAN(nn.Module):
    """csinva/gan-vae-pretrained-pytorch, mnist_dcgan: a 1x1 kernel with padding 2 ends at 28x28."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(100, 64, 4, 1, 0, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
            nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
            nn.ConvTranspose2d(8, 1, kernel_size=1, stride=1, padding=2, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z.view(-1, 100, 1, 1))


class FlatGAN(nn.Module):
    """fc1 to fc4 with leaky ReLUs: the GAN of many a first notebook."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(100, 64)
        self.fc2 = nn.Linear(64, 128)
        self.fc3 = nn.Linear(128, 256)
        self.fc4 = nn.Linear(256, 784)

    def forward(self, z: Tensor) -> Tensor:
        x = F.leaky_relu(self.fc1(z), 0.2)
        x = F.leaky_relu(self.fc2(x), 0.2)
        x = F.leaky_relu(self.fc3(x), 0.2)
        return torch.tanh(self.fc4(x)).view(-1, 1, 28, 28)


@dataclass(frozen=True)
class Tutorial:
    """One of them, and what must be recognised of it.

    Attributes:
        make: builds the module.
        family: what it is.
        latent_dim: numbers of z.
        image: (C, H, W).
        unit: whether it draws in [0, 1]; else in [-1, 1].
        classes: that it is told one of.
    """

    make: Callable[[], nn.Module]
    family: str
    latent_dim: int
    image: tuple[int, int, int]
    unit: bool = False
    classes: int = 0


GREY = (1, 28, 28)
TUTORIALS = {
    "pytorch-examples-vae": Tutorial(PyTorchExamplesVAE, "vae", 20, GREY, True),
    "deep-vae": Tutorial(DeepVAE, "vae", 2, GREY, True),
    "kang-vae": Tutorial(KangVAE, "vae", 50, GREY, True),
    "sequential-vae": Tutorial(SequentialVAE, "vae", 2, GREY, True),
    "split-vae": Tutorial(SplitVAE, "vae", 8, GREY, True),
    "convolutional-vae": Tutorial(ConvolutionalVAE, "vae", 10, GREY, True),
    "antix-vae": Tutorial(AntixVAE, "vae", 24, (3, 64, 64)),
    "conditional-vae": Tutorial(ConditionalVAE, "vae", 12, GREY, True, 10),
    "linder-gan": Tutorial(LinderGAN, "gan", 100, GREY),
    "linder-cgan": Tutorial(LinderConditionalGAN, "gan", 100, GREY, False, 10),
    "one-hot-gan": Tutorial(OneHotGAN, "gan", 100, GREY, False, 10),
    "linder-dcgan": Tutorial(LinderDCGAN, "gan", 100, (1, 32, 32)),
    "acgan": Tutorial(AuxiliaryGAN, "gan", 100, (1, 32, 32), False, 10),
    "pytorch-dcgan-64": Tutorial(PyTorchDCGAN, "gan", 100, (3, 64, 64)),
    "pytorch-dcgan-64-grey": Tutorial(lambda: PyTorchDCGAN(1), "gan", 100, (1, 64, 64)),
    "pytorch-dcgan-32": Tutorial(lambda: PyTorchDCGAN(3, 4), "gan", 100, (3, 32, 32)),
    "tensorflow-dcgan-28": Tutorial(TensorFlowStyleDCGAN, "gan", 100, GREY),
    "coursera-dcgan-28": Tutorial(CourseraDCGAN, "gan", 64, GREY),
    "coursera-gan": Tutorial(CourseraGAN, "gan", 10, GREY, True),
    "pointwise-dcgan-28": Tutorial(PointwiseDCGAN, "gan", 100, GREY),
    "flat-gan": Tutorial(FlatGAN, "gan", 100, GREY),
}
"""By name."""

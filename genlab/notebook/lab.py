"""What a notebook asks GenLab through, wherever it draws. No torch, no page and no driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from genlab.families.description import FamilyDescription
from genlab.models.families import FAMILIES
from genlab.notebook.pictures import Pictures
from genlab.requests import SampleRequest, UserError


class Lab(ABC):
    """The checkpoints there are, and pictures of them; `connect` opens one."""

    @abstractmethod
    def checkpoints(self) -> list[dict[str, Any]]:
        """Every usable checkpoint: name, title, family, dataset, its card's metrics, snapshots."""

    @abstractmethod
    def sample(self, checkpoint: str, **settings: Any) -> Pictures:
        """Draw pictures, with a progress bar, and in a notebook with previews.

        Args:
            checkpoint: its name.
            settings: what its family can be asked for: ``count``, ``seed``, a VAE's
                ``temperature``, Stable Diffusion's ``prompt`` and ``num_inference_steps``, ...;
                docs/api.md lists them with their limits.

        Returns:
            Pictures with their figures and the metadata to draw each of them again.

        Raises:
            UserError: a name or a value is wrong, or the drawing failed; one plain sentence.
        """

    @abstractmethod
    def close(self) -> None:
        """End what runs and free what it took."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def drawing(checkpoint: str, family: str) -> tuple[FamilyDescription, type[SampleRequest]]:
    """A checkpoint's family and its request for pictures; raises UserError if it draws none."""
    description = FAMILIES.get(family)
    if description is None:
        raise UserError(f"{checkpoint} is of the family {family!r}, which this GenLab lacks.")
    if description.sample_request is None:
        raise UserError(f"{checkpoint} is a {description.label}, which draws no pictures.")
    return description, description.sample_request

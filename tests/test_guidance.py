"""Guidance against its formula."""

from __future__ import annotations

import pytest
import torch

from genlab.guidance import classifier_free


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 2.0), (1.0, 5.0), (3.0, 11.0)])
def test_classifier_free_guidance_extrapolates_from_uncond_through_cond(scale, expected):
    guided = classifier_free(torch.full((2, 3), 2.0), torch.full((2, 3), 5.0), scale)
    assert torch.allclose(guided, torch.full((2, 3), expected))

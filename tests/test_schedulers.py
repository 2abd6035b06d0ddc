"""The clean sample behind a prediction, against diffusers' own schedulers; trajectories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genlab.diffusion.schedulers import (
    SCHEDULERS,
    kept_steps,
    make_scheduler,
    pixel_scheduler_names,
    predicted_clean,
    scheduler_names,
    step_options,
)
from genlab.diffusion.trajectory import Trajectory

CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
KINDS = ("epsilon", "v_prediction", "sample")


def rows(seed: int) -> torch.Tensor:
    return torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in ("ddim", "ddpm", "euler", "euler-ancestral")
        for kind in KINDS
        if (name, kind) != ("euler-ancestral", "sample")  # diffusers has not written this one
    ],
)
def test_it_is_what_the_schedulers_step_reports(name: str, kind: str):
    scheduler = make_scheduler(name, CONFIG | {"prediction_type": kind})
    scheduler.set_timesteps(7)
    sample = rows(0) * scheduler.init_noise_sigma
    for step, t in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(sample, t)  # as a run does before its network call
        output = rows(step + 1)
        clean = predicted_clean(scheduler, output, sample, step)
        reported = scheduler.step(output, t, sample, generator=torch.Generator().manual_seed(step))
        expected = reported.pred_original_sample
        assert torch.allclose(clean, expected, rtol=1e-4, atol=1e-4), (clean - expected).abs().max()
        sample = reported.prev_sample


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_data_prediction_of_dpm_solver(kind: str):
    scheduler = make_scheduler("dpmpp-2m", CONFIG | {"prediction_type": kind})
    scheduler.set_timesteps(7)
    sample = rows(0)
    for step, t in enumerate(scheduler.timesteps):
        output = rows(step + 1)
        clean = predicted_clean(scheduler, output, sample, step)
        sample = scheduler.step(output, t, sample).prev_sample
        expected = scheduler.model_outputs[-1]
        assert torch.allclose(clean, expected, rtol=1e-4, atol=1e-4), (clean - expected).abs().max()


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_perfect_prediction_gives_the_clean_sample_back(name: str, kind: str):
    scheduler = make_scheduler(name, CONFIG | {"prediction_type": kind})
    scheduler.set_timesteps(9)
    clean, eps = rows(1), rows(2)
    for step in (0, len(scheduler.timesteps) // 2, len(scheduler.timesteps) - 1):
        fresh = make_scheduler(name, CONFIG | {"prediction_type": kind})
        fresh.set_timesteps(9)
        alphabar = fresh.alphas_cumprod[int(fresh.timesteps[step].round())]
        signal, noise = alphabar.sqrt(), (1 - alphabar).sqrt()
        sample = signal * clean + noise * eps
        if name.startswith("euler"):  # these keep x_0 + sigma eps
            sample = clean + noise / signal * eps
        output = eps if kind == "epsilon" else signal * eps - noise * clean
        error = (predicted_clean(fresh, output, sample, step) - clean).abs().max()
        assert error < 2e-3, f"{name} at step {step}: {error}"


def test_asking_for_it_changes_no_step():
    for name in SCHEDULERS:
        outcomes = []
        for looked_at in (False, True):
            scheduler = make_scheduler(name, CONFIG)
            scheduler.set_timesteps(5)
            sample = rows(0) * scheduler.init_noise_sigma
            noisy = name in ("euler-ancestral", "ddpm", "lcm")
            own = {"generator": torch.Generator().manual_seed(1)} if noisy else {}
            for step, t in enumerate(scheduler.timesteps):
                scheduler.scale_model_input(sample, t)
                if looked_at:
                    predicted_clean(scheduler, rows(step), sample, step)
                sample = scheduler.step(rows(step), t, sample, **own).prev_sample
            outcomes.append(sample)
        assert torch.equal(*outcomes), name


def test_half_precision_stays_half_precision_and_finite():
    scheduler = make_scheduler("euler", CONFIG)
    scheduler.set_timesteps(3)
    sample = (rows(0) * scheduler.init_noise_sigma).half()
    clean = predicted_clean(scheduler, rows(1).half(), sample, 0)
    assert clean.dtype == torch.float16
    assert torch.isfinite(clean).all()


@pytest.mark.parametrize(("total", "most"), [(1, 25), (25, 25), (26, 25), (100, 25), (7, 1)])
def test_a_trajectory_keeps_even_steps_and_the_last(total: int, most: int):
    kept = kept_steps(total, most)
    assert len(kept) == min(total, most)
    assert kept == sorted(set(kept))
    assert kept[-1] == total - 1
    if most > 1:
        assert kept[0] == 0
        gaps = {b - a for a, b in zip(kept, kept[1:], strict=False)}
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_step_is_given_what_its_scheduler_takes_and_nothing_else():
    offered = {"generator": [], "eta": 0.5, "use_clipped_model_output": True}
    taken = {
        name: sorted(step_options(make_scheduler(name, CONFIG), **offered)) for name in SCHEDULERS
    }
    assert taken["ddim"] == sorted(offered)
    assert taken["ddpm"] == taken["euler-ancestral"] == ["generator"]
    assert taken["pndm"] == []


def test_the_names_are_one_table():
    assert scheduler_names() == tuple(SCHEDULERS)
    assert pixel_scheduler_names() == ("ddim", "euler", "dpmpp-2m", "ddpm")


def test_only_the_frames_of_kept_steps_are_made():
    made: list[int] = []
    trajectory = Trajectory(100, most=3)
    for step in range(100):
        trajectory.add(step, lambda step=step: made.append(step) or {"x": np.full(2, step)})
    extras = trajectory.extras()
    assert made == [0, 50, 99]
    assert extras["trajectory_steps"].tolist() == [0, 50, 99]
    assert extras["trajectory_x"].tolist() == [[0, 0], [50, 50], [99, 99]]


@pytest.mark.parametrize("config", [{}, {"skip_prk_steps": True}])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_fewest_steps_of_the_table_are_diffusers_own(name, config):
    fewest = SCHEDULERS[name].fewest_steps(config)
    make_scheduler(name, config).set_timesteps(fewest)
    if fewest > 1:
        with pytest.raises(ValueError, match="broadcast"):
            make_scheduler(name, config).set_timesteps(fewest - 1)

"""What pixels and latents share: guidance, schedulers, trajectory. Knows no model and no job."""

"""The Latents tab."""

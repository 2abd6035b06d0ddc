"""The Stable Diffusion tab."""

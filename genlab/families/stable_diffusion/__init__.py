"""stable_diffusion"""

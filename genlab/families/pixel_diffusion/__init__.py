"""pixel_diffusion"""

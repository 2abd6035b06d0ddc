"""The Train tab: VAEs and GANs that learn while a class looks on."""

"""How a model lies on disk: hub layout, diffusers folder, single file, card. Knows no engine."""

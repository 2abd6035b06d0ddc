"""The networks that diffusers and transformers lack; they know no training and no engine."""

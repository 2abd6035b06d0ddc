"""The one door to the models: a client, and the drivers behind it."""

"""The shared inference engine: `core.Core` steps jobs, a `runner.Runner` is one loaded model.

Nothing is imported here, so that who only needs `events` does not wait for torch.
"""

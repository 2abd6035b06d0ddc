"""Which driver serves on this machine. No torch, no `spaces` and no Ray, until it has chosen."""

from __future__ import annotations

from genlab.models.registry import Registry
from genlab.serving.client import Client
from genlab.serving.thread import ThreadClient
from genlab.settings import Host, Settings


def open_client(registry: Registry, settings: Settings, host: Host) -> Client:
    """The client for this machine; it serves inside a ``with``.

    To be called in the main thread, before the page is launched: ZeroGPU wants to know by then
    what is to run on its GPUs. What Gradio reads from the environment has to be set before.
    """
    if host.zero_gpu:
        from genlab.serving.zerogpu import open_zerogpu

        return open_zerogpu(registry, settings)
    if settings.replicas or settings.ray_address:
        from genlab.serving.ray import RayClient

        return RayClient(registry, settings)
    return ThreadClient(registry, settings)

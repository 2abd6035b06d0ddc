"""Everything that is asked of Ray, in one place: connect, deploy, stream, delete. No torch.

One single-replica application a replica, with public API only: Serve's own routers are blind either
to what shares a call or to load. What blocks runs in one thread of its own; handles are used by the
one loop that made them, since a handle that is first used from several stalls. Ray is imported by
name, and in functions: it is an option, and type checkers take `ray` for the file beside this one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeVar

from genlab.engine.events import Event, Failed
from genlab.requests import Request, UserError
from genlab.serving.ray_pictures import unpacked
from genlab.serving.ray_replica import Replica, ReplicaBroken, Report
from genlab.settings import PROJECT, Settings

log = logging.getLogger(__name__)

PREFIX = "genlab-"  # of our applications' names; a cluster has one GenLab
CONNECTING = 60.0  # seconds to wait for a cluster
DISCONNECTING = 45.0  # seconds; to leave a cluster whose head is dead takes Ray 35
FREE = 2.0  # seconds that the control thread may be at something before it counts as stuck
HEAD_ANSWERS = 3.0  # seconds that the head may take to accept a connection
MAX_ONGOING = 100_000  # requests a replica; admission is at the page's door

T = TypeVar("T")


class LostReplica(Exception):
    """A replica is gone, or cannot be reached, or its engine has ended for good."""


class RayCluster:
    """A Ray cluster: one that is joined by its address, or one of this machine's own.

    Args:
        settings: address, and what a replica takes.
    """

    def __init__(self, settings: Settings) -> None:
        self.outlives_us = bool(settings.ray_address)
        self._settings = settings
        self._control = ThreadPoolExecutor(1, thread_name_prefix="genlab-ray-control")
        self._head = ("", 0)

    async def connect(self) -> None:
        """Join or start the cluster; raises UserError if there is none."""
        self._control = ThreadPoolExecutor(1, thread_name_prefix="genlab-ray-control")
        await self._blocking(self._connect)

    async def deploy(self, name: str) -> RayHandle:
        """Ask for a replica; it answers once there is a node with room for it."""
        return RayHandle(await self._blocking(lambda: self._deploy(name)))

    async def delete(self, name: str) -> None:
        """Give a replica's place back; several at once, each in a thread that waits for Serve."""
        await asyncio.to_thread(import_module("ray.serve").delete, name)

    async def head_answers(self) -> bool:
        """Whether the head lives; asked without Ray, which would wait for it in silence."""
        try:
            async with asyncio.timeout(HEAD_ANSWERS):
                _, writer = await asyncio.open_connection(*self._head)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    async def disconnect(self) -> None:
        """Leave the cluster, which ends it if it is our own; never waits for a dead one.

        Linux ends the processes of a cluster of our own with the thread that has started them, and
        to leave what is dead already takes Ray half a minute: so that thread does it, if it can.
        """
        control, fresh = self._control, ThreadPoolExecutor(1)
        leaving = control if await self._is_free() else fresh
        self._control = fresh
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCONNECTING):
                await asyncio.get_running_loop().run_in_executor(leaving, _shutdown)
        control.shutdown(wait=False, cancel_futures=True)

    async def _is_free(self) -> bool:
        """Whether the control thread does not wait for somebody who does not answer."""
        try:
            async with asyncio.timeout(FREE):
                await self._blocking(lambda: None)
        except TimeoutError:
            return False
        return True

    # --- in the control thread ----------------------------------------------------------------

    def _connect(self) -> None:
        try:
            ray, serve = import_module("ray"), import_module("ray.serve")
        except ImportError:
            raise UserError(
                "Several replicas need Ray: pip install -r requirements-cluster.txt."
            ) from None
        settings = self._settings
        common = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if settings.ray_address:
                ray.init(address=settings.ray_address, **common)
            else:
                most = max(settings.replicas, settings.max_replicas)
                cores = max(os.cpu_count() or 1, -int(-most * settings.replica_cpus // 1))
                ray.init(address="local", num_cpus=cores, include_dashboard=False, **common)
        except (ConnectionError, RuntimeError, ValueError) as error:
            log.warning("no Ray cluster at %r", settings.ray_address, exc_info=error)
            raise UserError(
                f"There is no Ray cluster at {settings.ray_address or 'this machine'!r}, or it "
                "does not let GenLab in; the log says why."
            ) from None
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._head = (host, int(port))
        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        for name in serve.status().applications:
            if name.startswith(PREFIX):  # of a page that has died
                serve.delete(name)

    def _deploy(self, name: str) -> Any:
        serve, settings = import_module("ray.serve"), self._settings
        variables = {
            "OMP_NUM_THREADS": str(max(1, int(settings.replica_cpus))),
            "HF_HUB_OFFLINE": "1",  # the page downloads, replicas read
            "PYTHONPATH": f"{PROJECT}:${{PYTHONPATH}}",
        }
        deployment = serve.deployment(Replica).options(
            name="engine",
            num_replicas=1,
            max_ongoing_requests=MAX_ONGOING,
            graceful_shutdown_timeout_s=2,  # it is deleted when it has nothing left to do
            graceful_shutdown_wait_loop_s=0.1,
            health_check_period_s=5,
            health_check_timeout_s=60,  # a replica that imports torch answers late
            ray_actor_options={
                "num_cpus": settings.replica_cpus,
                "num_gpus": settings.replica_gpus,
                "runtime_env": {"env_vars": variables},
            },
        )
        application = deployment.bind(settings.model_dump(mode="json"))
        target = serve.RunTarget(application, name=name, route_prefix=None)
        return serve.run_many([target], wait_for_applications_running=False)[0]

    async def _blocking(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._control, function)


class RayHandle:
    """One replica, as the loop that asked for it talks to it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._stream = handle.options(stream=True)

    async def run(self, request: Request, owner: str) -> AsyncGenerator[Event, None]:
        """Serve a request there; to close this stops it. Raises LostReplica."""
        answers = self._stream.run.remote(request, owner)
        ended = False
        try:
            async for event in answers:
                yield await unpacked(event)
            ended = True
        except Exception as error:
            ended = True
            failed = _failed(error)
            if failed is None:
                raise LostReplica(repr(error)) from error
            yield failed
        finally:
            if not ended:
                answers.cancel()  # nothing else reaches the replica

    async def report(self) -> Report:
        """How the replica fares; waits while there is none. Raises LostReplica."""
        answer = self._handle.report.remote()
        try:
            return await answer
        except Exception as error:
            raise LostReplica(repr(error)) from error
        except BaseException:
            answer.cancel()
            raise


def _failed(error: Exception) -> Failed | None:
    """The end of a request that its replica could not serve; None if the replica is to blame."""
    if not isinstance(error, import_module("ray.exceptions").RayTaskError):
        return None
    cause = getattr(error, "cause", None)
    if isinstance(cause, ReplicaBroken):
        return None
    log.error("a replica could not serve a request", exc_info=error)
    kind = type(cause or error).__name__
    return Failed(f"GenLab could not finish this request ({kind}); the log says why.")


def _shutdown() -> None:
    import_module("ray").shutdown()

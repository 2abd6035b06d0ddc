"""What the page's server answers beside the page, and what a call goes through first. No tab."""

from __future__ import annotations

from gradio.utils import get_upload_folder
from starlette.middleware import Middleware
from starlette.routing import Route

from genlab.serving.callers import Callers, callers
from genlab.serving.health import Health, health_route
from genlab.serving.metrics import House, Meters, metrics_route
from genlab.serving.observed import ObservedClient, families_of
from genlab.serving.uploads import BodyLimit
from genlab.settings import Host
from genlab.ui.context import AppContext
from genlab.ui.document import document_middleware, document_routes
from genlab.ui.header import header_routes
from genlab.ui.languages import language_routes
from genlab.ui.scripts import script_route
from genlab.ui.sessions import remembered
from genlab.ui.state.share import share_routes
from genlab.ui.tabs.guide.words import translations
from genlab.ui.tabs.scripts import TAB_SCRIPTS
from genlab.ui.teacher.routes import lesson_routes


def routes(context: AppContext) -> list[Route]:
    """Pictures by address, and what tells those who run the house how it fares."""
    client, registry, lag = context.client, context.registry, context.loop_lag
    meters = client.meters if isinstance(client, ObservedClient) else Meters()
    house = House(
        client, lag, families_of(registry),
        sessions=lambda: sum(map(remembered, context.pages)),
        picture_bytes=lambda: context.pictures.nbytes,
    )  # fmt: skip
    health = Health(client, lag, lambda: registry.broken, get_upload_folder())
    return [
        context.pictures.route(),
        *share_routes(),
        *lesson_routes(context),
        health_route(health),
        metrics_route(house, meters, context.teacher),
        *document_routes(),
        *map(script_route, TAB_SCRIPTS),
        *header_routes(context),
        *language_routes(translations),
    ]


def middleware(context: AppContext) -> list[Middleware]:
    """Who may call, how much they may send, how the document leaves; the first comes first."""
    return [
        Middleware(Callers, **callers(context.settings, Host())),
        Middleware(BodyLimit),
        *document_middleware(context.settings.root_path),
    ]

"""The page: one file or folder a tab, each with ``build(context)``, one line each in TABS.

Knows no model, no driver and no tensor.

Elements that tests, the lab guide and screenshots name by id:

- Lab guide: guide, guide-list; for each question guide-<key> and guide-<key>-pictures, -asking,
  -answer, -code; guide-return while an experiment is shown.
- VAE: vae-checkpoint, vae-beside, vae-temperature, vae-seed, vae-dice, vae-count, vae-generate,
  vae-stop, vae-status, vae-gallery, vae-strip, vae-beside-gallery, vae-beside-strip;
  vae-reconstruct-checkpoint, -beside, -generate, -stop, -status, -originals, -first, -second;
  vae-codes-checkpoint, -beside, -axes, -shown, -z1, -z2, -generate, -stop, -status, -digits,
  -planes, -first, -second, -touch; vae-class.
- GAN: gan-checkpoint, gan-beside, gan-timeline, gan-moment, gan-seed, gan-dice, gan-count,
  gan-generate, gan-stop, gan-status, gan-gallery, gan-strip, gan-beside-gallery, gan-beside-strip,
  gan-class.
- Latents: latents-walk-seed, -dice, -to-seed, -count, -vae, -gan, -diffusion, -generate, -stop,
  -status, and -<vae | gan | diffusion>-<straight | sphere>; latents-between-picture, -to-picture,
  -count, -generate, -stop, -status, -pixels, -vae-<1 to 6>; latents-dimensions-checkpoint, -seed,
  -dice, -row-<1 to 8>, -generate, -stop, -status, -picture, -rows; latents-draw-pad,
  -timestep, -centred, -digit, -generate, -stop, -status, -restored, -denoised, -places;
  latents-noise-checkpoint, -picture, -seed, -dice, -generate, -stop, -status, -rows.
- Guidance: guidance-checkpoint, -digits, -seed, -dice, -count, -steps, -free-scale,
  -classifier-scale, -scheduler, -eta, -modes; side by side: guidance-generate, -stop, -status, and
  guidance-<none | classifier | classifier-free>-gallery and -strip; filmstrip: guidance-film,
  guidance-film-picture, -generate, -stop, -status, -step, -shown, -confidence, -push; steps:
  guidance-ladder-method, -beside, -generate, -stop, -status, -<number of steps>,
  -beside-<number of steps>; scale:
  guidance-scales-samples, -generate, -stop, -status, -measured, -plots, -label-accuracy, -fid,
  -diversity, -<classifier | classifier-free>-<scale>.
- Stable Diffusion: sd-checkpoint, sd-prompt, sd-unknown-words, sd-examples, sd-negative-prompt,
  sd-more, sd-offer, sd-fetch, sd-fetch-cancel, sd-fetch-status; sd-steps, sd-guidance,
  sd-scheduler, sd-seed, sd-dice; sd-modes. In its modes: sd-count, sd-preview-every, sd-live,
  sd-png, sd-png-note, sd-generate, sd-stop, sd-status, sd-gallery, sd-strip; sd-grid-columns,
  sd-grid-columns-values, sd-grid-rows, sd-grid-rows-values, sd-grid-generate, -stop, -status,
  -cells, -sheet, -chosen; sd-curve-count, sd-curve-scale-generate, -stop, -status, -plot, -note,
  and the same with sd-curve-steps; sd-cfg-generate, -stop, -status, -film;
  sd-few-generate, -stop, -status, -teacher, -student; sd-redraw-pad, -strength, -count,
  -generate, -stop, -status, -gallery, -strip, -strengths, -picture, -mask, -taken, -png, -png-note.
- Compare: compare-seed, compare-dice, compare-class, compare-count, compare-columns,
  compare-generate, compare-stop, compare-status, compare-table; one card a column: compare-vae,
  compare-vae-no-kl, compare-gan, compare-gan-collapsed, compare-diffusion, compare-guided,
  compare-flow, compare-toybox, compare-real; compare-another and its card, compare-yours.
- A visitor's own checkpoint, with vae, gan or compare in front: -own, -own-file, -own-dataset,
  -own-hub, -own-status, -own-diagram, -own-corrections, -own-again; -own-hidden, -output, -range,
  -invert, -label-first, -size, -classes, -eps.
- Train: train-subject, train-kl-weight, train-learning-rate, train-discriminator-rate,
  train-generator-updates, train-latent-dim, train-seed, train-dice; train-generate, train-pause,
  train-step, train-stop, train-status, train-download; train-samples, train-curves, train-loop,
  train-lights.
- Page: header, language, address-note, share, keys, and broken when a checkpoint could not be read;
  lesson and sign-in where there is a teacher's key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from genlab.serving.teacher import login
from genlab.serving.uploads import MAX_FILE_BYTES
from genlab.ui.api import add_api
from genlab.ui.components.progress import plural
from genlab.ui.context import AppContext
from genlab.ui.document import FAVICON, TAGLINE, TITLE
from genlab.ui.first_runs import show_on_opening
from genlab.ui.header import SCRIPT as HEADER_SCRIPT
from genlab.ui.header import header
from genlab.ui.languages import language_script
from genlab.ui.light_page import LightPage
from genlab.ui.model_choices import follow_models
from genlab.ui.routes import middleware, routes
from genlab.ui.scripts import script_tag
from genlab.ui.sessions import CAPACITY, MAX_RUNNING, beside, forget, share_descriptions
from genlab.ui.state.wiring import follow_address, head
from genlab.ui.tabs import gan as gan_tab
from genlab.ui.tabs.compare import tab as compare_tab
from genlab.ui.tabs.guidance import tab as guidance_tab
from genlab.ui.tabs.guide import tab as guide_tab
from genlab.ui.tabs.latents import tab as latents_tab
from genlab.ui.tabs.scripts import TAB_SCRIPTS
from genlab.ui.tabs.stable_diffusion import tab as stable_diffusion_tab
from genlab.ui.tabs.train import tab as train_tab
from genlab.ui.tabs.vae import tab as vae_tab
from genlab.ui.teacher.layout import lesson_panel, lesson_tags, sign_in_panel
from genlab.ui.theme import CSS, theme

__all__ = ["TABS", "AppContext", "build_page", "launch_options"]

TABS: dict[str, Callable[[AppContext], None]] = {
    "Lab guide": guide_tab.build,
    "VAE": vae_tab.build,
    "GAN": gan_tab.build,
    "Latents": latents_tab.build,
    "Guidance": guidance_tab.build,
    "Stable Diffusion": stable_diffusion_tab.build,
    "Compare": compare_tab.build,
    "Train": train_tab.build,
}

KEYS = (
    '<p class="note">Keys: <kbd>Ctrl</kbd> + <kbd>Enter</kbd> generates, <kbd>Esc</kbd> stops, '
    "<kbd>←</kbd> <kbd>→</kbd> <kbd>Home</kbd> <kbd>End</kbd> move between tabs and along sliders, "
    "<kbd>Tab</kbd> at the top of the page offers to skip to Generate.</p>"
)
"""What ``access.js`` listens to."""
CACHE_SECONDS = 3600  # the files of the API are kept this long


def build_page(context: AppContext) -> gr.Blocks:
    """The whole page, ready to be launched with ``launch_options()``."""
    with LightPage(
        title=TITLE, fill_width=True, analytics_enabled=False,
        delete_cache=(CACHE_SECONDS // 4, CACHE_SECONDS),
    ) as page:  # fmt: skip
        gr.HTML(header(context, TITLE, TAGLINE), elem_id="header", padding=False)
        lesson_panel(context)
        note = gr.HTML(elem_id="address-note", elem_classes=["flush"], padding=False)
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            for name, build in TABS.items():
                with gr.Tab(name, id=name.lower().replace(" ", "-")):
                    build(context)
        if context.registry.broken:
            _broken(context.registry.broken)
        gr.HTML(KEYS, elem_id="keys", elem_classes=["flush"])
        sign_in_panel(context)
        add_api(context)

        async def left(request: gr.Request) -> None:
            context.kept.left(str(request.session_hash))
            forget(page, str(request.session_hash))

        page.unload(left)
        follow_models(page, context)
        follow_address(context, page, note)
        show_on_opening(context, page)
    share_descriptions(page)
    context.pages.append(page)
    return page


def launch_options(context: AppContext) -> dict[str, Any]:
    """What of the page's looks and manners Gradio takes at ``launch()``."""
    return {
        "theme": theme(),
        "css": CSS,
        "head": head()
        + script_tag(HEADER_SCRIPT)
        + "".join(map(script_tag, TAB_SCRIPTS))
        + language_script()
        + lesson_tags(context),
        "footer_links": [],
        "favicon_path": FAVICON,
        "root_path": context.settings.root_path or None,
        "auth": login(context.settings),
        "enable_monitoring": False,  # Gradio's own tells every visitor what all others do
        "run_history": False,  # nobody finds another's prompts in a shared browser
        "ssr_mode": False,  # needs Node, which a school's machine lacks
        "state_session_capacity": CAPACITY,
        "max_threads": MAX_RUNNING,
        "max_file_size": MAX_FILE_BYTES,
        "app_kwargs": {
            # They come before Gradio's own routes, the last of which takes whatever is left.
            "routes": routes(context),
            "middleware": middleware(context),
            "lifespan": beside(context.loop_lag),
        },
    }


def _broken(broken: dict[str, str]) -> None:
    count = len(broken)
    title = f"{count} {plural(count, 'checkpoint')} could not be read"
    with gr.Accordion(title, open=False, elem_id="broken"):
        gr.Markdown("\n".join(f"- `{name}` is left out: {why}" for name, why in broken.items()))

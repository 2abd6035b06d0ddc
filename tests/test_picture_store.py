"""Pictures by address: what is kept, for how long, and who can find it."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from genlab.families.vae.request import VAERequest
from genlab.generation_metadata import KEY, for_pictures
from genlab.requests import parse_request
from genlab.ui.picture_store import PictureStore


class Clock:
    """Seconds that a test moves by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def noise(count: int = 1, seed: int = 0, side: int = 16) -> np.ndarray:
    """Pictures that a PNG cannot make small."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def put(store: PictureStore, images: np.ndarray, metadata: Any = ()) -> list[str]:
    return asyncio.run(store.put(images, metadata))


def name(address: str) -> str:
    return address.removeprefix("pictures/")


def test_a_picture_comes_back_as_it_was() -> None:
    store = PictureStore()
    images = noise(3)
    addresses = put(store, images)
    assert all(re.fullmatch(r"pictures/[0-9a-f]{64}-\d+\.png", address) for address in addresses)
    for address, image in zip(addresses, images, strict=True):
        content = store.get(name(address))
        assert content is not None
        assert (np.asarray(Image.open(io.BytesIO(content))) == image).all()


def test_each_file_carries_its_own_metadata() -> None:
    store = PictureStore()
    request = parse_request(VAERequest, checkpoint="vae", seed=3, count=2)
    addresses = put(store, noise(2), for_pictures(request, "vae", "f" * 64))
    texts = [
        Image.open(io.BytesIO(store.get(name(address)) or b"")).info[KEY] for address in addresses
    ]
    assert ['"seed": 3' in texts[0], '"seed": 4' in texts[1]] == [True, True]


def test_equal_pictures_share_one_entry() -> None:
    store = PictureStore()
    (first,) = put(store, noise())
    held = store.nbytes
    assert put(store, noise()) == [first]
    assert store.nbytes == held


def test_nobody_can_work_out_an_address_from_the_picture() -> None:
    assert put(PictureStore(), noise()) != put(PictureStore(), noise())


def test_the_memory_has_a_bound_and_the_oldest_go_first() -> None:
    store = PictureStore(max_bytes=20_000)
    addresses = [put(store, noise(seed=k, side=64))[0] for k in range(20)]
    assert 10_000 < store.nbytes <= 20_000
    kept = [store.get(name(address)) is not None for address in addresses]
    assert kept == sorted(kept), "the oldest first"
    assert kept[-1]
    assert store.nbytes == sum(len(store.get(name(a)) or b"") for a in addresses)


def test_a_picture_larger_than_the_bound_is_not_kept() -> None:
    store = PictureStore(max_bytes=100)
    (address,) = put(store, noise(side=64))
    assert store.get(name(address)) is None
    assert store.nbytes == 0


def test_a_picture_is_gone_after_its_time() -> None:
    clock = Clock()
    store = PictureStore(seconds=3600, clock=clock)
    (address,) = put(store, noise())
    clock.now = 3599
    assert store.get(name(address)) is not None
    clock.now = 3601
    assert store.get(name(address)) is None
    assert store.nbytes == 0


def test_a_picture_that_is_drawn_again_is_kept_anew() -> None:
    clock = Clock()
    store = PictureStore(seconds=3600, clock=clock)
    (again,) = put(store, noise())
    (other,) = put(store, noise(seed=1))
    clock.now = 3000
    put(store, noise())
    clock.now = 4000
    assert store.get(name(again)) is not None
    assert store.get(name(other)) is None


def browser_of(store: PictureStore) -> TestClient:
    return TestClient(Starlette(routes=[store.route()]))


def test_a_browser_gets_the_picture_and_may_keep_it() -> None:
    store = PictureStore()
    for address in put(store, noise(2)):
        answer = browser_of(store).get(f"/{address}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["cache-control"] == "private, max-age=3600, immutable"
        assert answer.content.startswith(b"\x89PNG")


def test_an_address_that_is_gone_says_so() -> None:
    browser = browser_of(PictureStore())
    for address in ("pictures/" + "0" * 64 + ".png", "pictures/..%2F..%2Fetc%2Fpasswd"):
        answer = browser.get(f"/{address}")
        assert answer.status_code == 404
    assert "Draw it again" in browser.get("/pictures/gone.png").text

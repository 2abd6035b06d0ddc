"""How events cross from a replica to the page: pictures as files, arrays of the page's own."""

from __future__ import annotations

import io
import pickle

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genlab.engine.events import Event, Progress, Result
from genlab.families.vae.request import VAERequest
from genlab.generation_metadata import KEY, GenerationMetadata
from genlab.serving.ray_pictures import LARGE, PackedResult, packed, unpacked
from genlab.ui.picture_store import PictureStore, encoded


def pictures(count: int, size: int, channels: tuple[int, ...] = (3,)) -> np.ndarray:
    rows = np.arange(count * size * size, dtype=np.uint8).reshape(count, size, size)
    return np.repeat(rows[..., None], 3, axis=-1) if channels else rows


async def across(event: Event) -> Event:
    """Through the wire, where what is received cannot be written."""
    sent = pickle.loads(pickle.dumps(await packed(event)))
    for array in (getattr(sent, "preview", None), *getattr(sent, "extras", {}).values()):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return await unpacked(sent)


async def test_large_pictures_go_as_files_and_come_as_they_were() -> None:
    for channels in ((), (3,)):
        drawn = Result(pictures(2, 256, channels), {"labels": np.arange(2)}, ("a note",), {"a": 1})
        sent = await packed(drawn)
        assert isinstance(sent, PackedResult)
        assert len(pickle.dumps(sent)) < drawn.images.nbytes / 2
        got = await across(drawn)
        assert isinstance(got, Result)
        assert np.array_equal(got.images, drawn.images)
        assert got.images.dtype == np.uint8
        assert (got.notes, got.figures) == (("a note",), {"a": 1})
        assert [Image.open(io.BytesIO(file)).size for file in got.files] == [(256, 256)] * 2


async def test_small_pictures_go_as_they_are() -> None:
    drawn = Result(pictures(16, 28, ()))
    assert drawn.images.nbytes < LARGE
    assert await packed(drawn) is drawn


async def test_what_has_come_can_be_written_as_if_it_was_drawn_here() -> None:
    got = await across(Result(pictures(1, 8), {"trajectory": pictures(3, 8)}))
    assert isinstance(got, Result)
    got.extras["trajectory"][0] = 0
    step = await across(Progress(1, 2, pictures(1, 8), None))
    assert isinstance(step, Progress)
    assert step.preview is not None
    step.preview[0] = 0


async def test_a_file_that_has_come_is_kept_without_being_encoded_once_more() -> None:
    drawn = Result(pictures(2, 256))
    got = await across(drawn)
    assert isinstance(got, Result)
    request = VAERequest(checkpoint="vae-mnist-20d")
    metadata = [GenerationMetadata(request.for_image(k), "vae", "f" * 64, {}) for k in range(2)]
    store = PictureStore()
    addresses = await store.put(got.images, metadata, got.files)
    assert addresses == await PictureStoreWithKeyOf(store).put(drawn.images, metadata)


class PictureStoreWithKeyOf(PictureStore):
    """Another store that gives the same addresses to the same files."""

    def __init__(self, other: PictureStore) -> None:
        super().__init__()
        self._key = other._key


def test_metadata_is_put_into_a_file_as_pillow_does() -> None:
    picture = pictures(1, 64)[0]
    metadata = GenerationMetadata(VAERequest(checkpoint="é"), "vae", "0" * 64, {"torch": "2"})
    chunks, file = PngInfo(), io.BytesIO()
    chunks.add_text(KEY, metadata.to_text())
    Image.fromarray(picture).save(file, format="PNG", pnginfo=chunks)
    assert encoded(picture, metadata) == file.getvalue()

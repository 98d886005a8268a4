"""Images that go with prompts: from files, data: URLs and base64, or made up at a given size."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from loadgen.types import Request, UsageError
from loadgen.workload.seeds import generator

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_SYNTHETIC: Final = re.compile(r"synthetic:(\d+)x(\d+)")
_APART: Final = 1 << 41  # a place that no request of a run has
_BLOCKS: Final = 16  # a made-up image is so many blocks of colour wide and high, blurred into each other
_LARGEST: Final = 16_384  # pixels on a side


class Images:
    """The images of a run: those of a file or a directory in turn, or a new one for each place."""

    def __init__(self, what: str, seed: int) -> None:
        """Read them. Raises UsageError that names what can't be read."""
        self._what = what
        self._seed = seed
        self._size: tuple[int, int] | None = None
        self._known: Sequence[str] = ()
        size = _SYNTHETIC.fullmatch(what)
        if size:
            self._size = (int(size[1]), int(size[2]))
            if not all(0 < side <= _LARGEST for side in self._size):
                raise UsageError(f"--images {what}: write a width and a height from 1 to {_LARGEST:,}")
        elif what.startswith("synthetic"):
            raise UsageError(f"--images {what}: write synthetic:WIDTHxHEIGHT, as in synthetic:640x480")
        else:
            self._known = [as_url(str(path)) for path in _paths(what)]

    def of(self, index: int, count: int) -> tuple[str, ...]:
        """Return `count` images for the request at an index, as URLs, the same each time."""
        places = range(index * count, (index + 1) * count)
        if self._size is not None:
            return tuple(_made_up(self._size, self._seed, place) for place in places)
        return tuple(self._known[place % len(self._known)] for place in places)


    def describe(self) -> dict[str, Any]:
        """Say what they are, for the provenance of a run."""
        if self._size is not None:
            return {"images": self._what, "seed": self._seed}
        digest = hashlib.sha256("\n".join(self._known).encode()).hexdigest()
        return {"images": self._what, "files": len(self._known), "sha256": digest}


class WithImages:
    """A source whose requests have images: `count_each` of `images` with every one of them."""

    def __init__(self, source: Any, images: Images, count_each: int) -> None:
        self._source = source
        self._images = images
        self._count_each = count_each
        self.count: int | None = source.count
        self.count_tokens: Callable[[str], int] | None = source.count_tokens

    def request(self, index: int) -> Request:
        """Return the request at an index, the same each time."""
        request: Request = self._source.request(index)
        return replace(request, images=request.images + self._images.of(index, self._count_each))

    def describe(self) -> dict[str, Any]:
        """Say what is asked, for the provenance of a run."""
        return {**self._source.describe(), "images": {**self._images.describe(), "per_request": self._count_each}}


def alike(what: str, seed: int, count: int) -> tuple[str, ...]:
    """Return images as a request of the run has, for one before it: of the same size if made up, else the first file's.

    Raises UsageError as Images does.
    """
    one = what if what.startswith("synthetic") else str(_paths(what)[0])
    return Images(one, seed).of(_APART, count)


def _paths(what: str) -> Sequence[str | Path]:
    folder = Path(what)
    if not folder.is_dir():
        return [what]
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UsageError(f"--images {what}: there is no image in that directory ({', '.join(SUFFIXES)})")
    return found


def as_url(source: str, folder: Path = Path()) -> str:
    """Return an image as a data: URL; one of http:// stays as it is, and is the server's to fetch.

    `source` is a file (below `folder` if relative), a data: URL, or base64. Raises UsageError if it can't be read.
    """
    if source.startswith(("http://", "https://")):
        return source
    shown = source if len(source) <= 80 else source[:60] + "..."
    try:
        data = data_of(source, folder)
        kind = _kind_of(data)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"the image {shown} can't be read: {reason}") from None
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def data_of(source: str, folder: Path = Path()) -> bytes:
    """Return the bytes of an image: a data: URL, a file, or base64. Raises ValueError or OSError if it is none."""
    if source.startswith("data:"):
        head, _, data = source.partition(",")
        if not head.endswith(";base64"):
            raise ValueError("a data: URL of an image has ;base64, in it")
        return base64.b64decode(data, validate=True)
    path = folder / source.removeprefix("file://")
    if len(source) < 4096 and path.is_file():
        return path.read_bytes()
    try:
        return base64.b64decode(source, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("there is no such file, and it is not base64 either") from None


def opened(data: bytes) -> Any:
    """Return the PIL image that bytes are, decoded whole. Raises ValueError or OSError if it can't be."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError:
        raise ValueError("it is not an image") from None
    except (Image.DecompressionBombError, SyntaxError) as error:  # a broken PNG is a SyntaxError to PIL
        raise ValueError(str(error)) from None
    return image


def _kind_of(data: bytes) -> str:
    """Return the media type of an image. Raises OSError or ValueError if it can't be decoded, or has none."""
    from PIL import Image

    form = str(opened(data).format)
    if form not in Image.MIME:
        raise ValueError(f"{form} has no media type, by which a server could know it: make it a PNG or a JPEG")
    return Image.MIME[form]


def _made_up(size: tuple[int, int], seed: int, place: int) -> str:
    """Return a JPEG of soft colours that no other place has."""
    from PIL import Image

    blocks: Any = generator(seed, "image", place).integers(0, 256, (_BLOCKS, _BLOCKS, 3)).astype("uint8")
    image = Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"

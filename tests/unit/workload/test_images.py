"""Images that go with prompts: where they come from, and what is said of those that can't be read."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from loadgen import plan, workload
from loadgen.backends.local.pictures import open_images
from loadgen.backends.openai import OpenAI
from loadgen.types import Request, UsageError
from loadgen.workload.images import Images, alike, as_url


def png(colour: tuple[int, int, int] = (200, 10, 10)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (5, 3), colour).save(file, "PNG")
    return file.getvalue()


BROKEN = png()[:33] + b"\0\0\0\5" + png()[37:46] + b"\xff" * 40  # its data goes on in what is no chunk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in (("b.png", (0, 0, 255)), ("a.png", (255, 0, 0))):
        (tmp_path / name).write_bytes(png(colour))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def first_pixel(url: str) -> tuple[int, ...]:
    _, images = open_images([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    pixel: tuple[int, ...] = images[0].getpixel((0, 0))
    return pixel


def test_a_directory_gives_its_images_in_turn_by_name(folder: Path) -> None:
    images = Images(str(folder), 0)
    assert [first_pixel(url) for url in images.of(0, 3)] == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    assert images.of(1, 1) == images.of(3, 1) == images.of(0, 2)[1:]


def test_every_form_of_an_image_becomes_a_data_url(folder: Path) -> None:
    raw = base64.b64encode(png()).decode()
    url = f"data:image/png;base64,{raw}"
    assert as_url(url) == as_url(raw) == url
    assert as_url("a.png", folder) == as_url(str(folder / "a.png")) == as_url(f"file://{folder}/a.png")
    assert as_url("https://host/cat.png") == "https://host/cat.png"  # the server's to fetch


def test_made_up_images_have_their_size_and_are_all_different() -> None:
    one, two = Images("synthetic:64x48", 3).of(0, 2)
    assert one != two and (one, two) == Images("synthetic:64x48", 3).of(0, 2) != Images("synthetic:64x48", 4).of(0, 2)
    _, (image,) = open_images([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": one}}]}])
    assert image.size == (64, 48)


def test_an_image_before_the_run_is_like_those_of_it(folder: Path) -> None:
    assert alike(str(folder), 0, 2) == Images(str(folder), 0).of(0, 1) * 2
    one, two = alike("synthetic:64x48", 3, 2)
    _, (image,) = open_images([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": one}}]}])
    assert image.size == (64, 48) and len({one, two, *Images("synthetic:64x48", 3).of(0, 9)}) == 11


@pytest.mark.parametrize("what, words", [
    ("none.png", "none.png can't be read: there is no such file"), ("notes.txt", "it is not an image"),
    ("cut.png", "cut.png can't be read"), ("broken.png", "broken PNG file"), ("x.dds", "DDS has no media type"),
    ("synthetic:0x9", "from 1 to"), ("synthetic", "synthetic:WIDTHxHEIGHT"),
    ("data:image/png,abc", ";base64,"), ("data:image/png;base64,AAAA", "it is not an image"),
])
def test_what_can_not_be_read_is_named(folder: Path, what: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("cut.png").write_bytes(png()[:45])
    Path("broken.png").write_bytes(BROKEN)
    Image.new("RGB", (5, 3)).save("x.dds")
    with pytest.raises(UsageError, match=words):
        Images(what, 0)


def test_an_image_that_a_model_can_not_open_is_named() -> None:
    url = f"data:image/png;base64,{base64.b64encode(BROKEN).decode()}"
    with pytest.raises(ValueError, match=r"image 1 of the request \(data:image.*broken PNG file"):
        open_images([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])


def test_a_directory_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image in that directory"):
        Images(str(tmp_path), 0)


def test_a_server_gets_them_as_parts_of_the_message(folder: Path) -> None:
    source = workload.make(plan.Workload(images=str(folder), images_per_request=2, output_tokens="4"))
    request = source.request(0)
    content = OpenAI(model="m").encode(request)
    assert content.body.count(b"data:image/png") == 2 and b'"type":"text"' in content.body
    assert source.describe()["images"]["files"] == 2
    assert source.count is None and source.request(5) == source.request(5)


def test_they_join_the_last_of_given_messages() -> None:
    request = Request(0, messages=({"role": "system", "content": "be short"}, {"role": "user", "content": "what?"}),
                      images=("https://host/cat.png",))
    body = OpenAI(model="m").encode(request).body
    assert body.index(b"be short") < body.index(b"cat.png") < body.index(b"what?")


def test_they_need_messages() -> None:
    with pytest.raises(UsageError, match="--endpoint chat"):
        workload.make(plan.Workload(images="synthetic:9x9"), chat=False)
    with pytest.raises(UsageError, match="not with token ids"):
        OpenAI(model="m").encode(Request(0, prompt_ids=(1,), images=("https://host/cat.png",)))


def test_a_line_of_a_prompts_file_names_its_own(folder: Path) -> None:
    file = folder / "prompts.jsonl"
    file.write_text('{"prompt": "what?", "images": ["a.png", "https://host/cat.png"]}\n{"prompt": "and?"}\n')
    source = workload.make(plan.Workload(prompts=str(file), output_tokens="4"))
    assert source.request(0).images == (as_url("a.png", folder), "https://host/cat.png")
    assert source.request(1).images == ()
    before = source.describe()["sha256"]
    (folder / "a.png").write_bytes((folder / "b.png").read_bytes())
    assert workload.make(plan.Workload(prompts=str(file))).describe()["sha256"] != before
    file.write_text('{"prompt": "what?", "images": ["none.png"]}\n')
    with pytest.raises(UsageError, match=r"prompts\.jsonl:1: the image none\.png can't be read"):
        workload.make(plan.Workload(prompts=str(file)))
    file.write_text('{"prompt": "what?", "images": [7]}\n')
    with pytest.raises(UsageError, match="must be a list of files"):
        workload.make(plan.Workload(prompts=str(file)))

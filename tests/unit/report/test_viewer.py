"""The volume viewer, as a real browser shows it."""

from dataclasses import replace

import numpy as np
import pytest

from ssp_model.errors import InputError
from ssp_model.images.ome_tiff import OmeImage, write_channels
from ssp_model.report import viewer
from ssp_model.report.viewer import bin_xy, read_prediction, to_bytes, write_viewer

PIXELS = """id => Array.from(document.getElementById(id).getContext("2d")
    .getImageData(0, 0, 24, 20).data)"""


def test_viewer_scrolls_stretches_and_overlays(open_page, stack, tmp_path):
    write_viewer(read_prediction(stack), "an image", tmp_path / "viewer.html")
    page = open_page(tmp_path / "viewer.html")

    def pixels(panel):
        page.wait_for_selector("body[data-drawn]", state="attached")
        return np.array(page.evaluate(PIXELS, panel)).reshape(20, 24, 4)

    def slide(name, value):
        page.eval_on_selector(
            f"#{name}", "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})) }", value
        )

    panels = ("light", "target", "prediction", "error")
    slide("z", 0)
    before = {panel: pixels(panel) for panel in panels}
    page.keyboard.press("ArrowUp")
    assert page.text_content("#z-out") == "2 of 6 (1.0 µm)"
    after = {panel: pixels(panel) for panel in panels}
    assert all((before[panel] != after[panel]).any() for panel in panels[:3])
    page.keyboard.press("End")
    assert page.text_content("#z-out").startswith("6 of 6")
    page.hover("#target")
    page.mouse.wheel(0, 100)
    page.wait_for_function("document.getElementById('z-out').textContent.startsWith('5 of 6')")
    assert "light" in page.text_content("#values")

    for slider, panel in (("s-high", "light"), ("f-low", "target"), ("f-high", "prediction"), ("e-range", "error")):
        unchanged = pixels(panel)
        slide(slider, 60)
        assert (pixels(panel) != unchanged).any(), slider
    bare = pixels("light")
    assert (bare[..., 0] == bare[..., 2]).all()
    page.keyboard.press("o")
    assert (pixels("light")[..., 0] != pixels("light")[..., 2]).any()


def with_expected_error(stack) -> OmeImage:
    image = read_prediction(stack)
    expected = np.broadcast_to(np.linspace(0, 3, 24, dtype=np.float32), (6, 20, 24))
    return replace(image, channels=[*image.channels, expected], channel_names=[*image.channel_names, "expected error"])


def test_a_switch_shows_the_expected_error_beside_the_error(open_page, stack, tmp_path):
    write_viewer(with_expected_error(stack), "an image", tmp_path / "viewer.html")
    page = open_page(tmp_path / "viewer.html")
    page.keyboard.press("Home")
    page.wait_for_selector("body[data-drawn='0']", state="attached")
    error, expected = (np.array(page.evaluate(PIXELS, panel)).reshape(20, 24, 4) for panel in ("error", "expected"))
    assert (error != expected).any()
    # white is none, and more of it is darker
    assert expected[0, 0, :3].min() > 240
    brightness = expected[..., :3].astype(int).sum(axis=-1).ravel()
    assert brightness[0] > brightness[-1]
    boxes = [page.locator(f"#{panel}").bounding_box() for panel in ("error", "expected")]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] < boxes[1]["x"]
    page.hover("#expected")
    page.wait_for_function("document.getElementById('values').textContent.includes('expected error')")
    page.keyboard.press("u")
    assert not page.locator("#expected").is_visible()
    page.click("#beside")
    assert page.locator("#expected").is_visible()


def test_the_expected_error_has_the_steps_of_the_error(open_page, stack, tmp_path):
    image = with_expected_error(stack)
    signal, target, *_ = image.channels
    # where all is predicted too bright, the expected error that is the error looks as it does
    error = np.full_like(target, 0.3)
    same = replace(image, channels=[signal, target, target + error, error])
    write_viewer(same, "an image", tmp_path / "viewer.html")
    page = open_page(tmp_path / "viewer.html")
    page.wait_for_selector("body[data-drawn]", state="attached")
    shown = [np.array(page.evaluate(PIXELS, panel)) for panel in ("error", "expected")]
    # rounded twice, and clipped at the ends
    assert np.median(np.abs(shown[0] - shown[1])) < 8


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("read", [read_prediction, with_expected_error])
def test_viewer_fits_the_screen(open_page, stack, tmp_path, width, read):
    write_viewer(read(stack), "an image", tmp_path / "viewer.html")
    page = open_page(tmp_path / "viewer.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    columns = len({round(page.locator(f"#{panel}").bounding_box()["x"]) for panel in ("light", "target", "error")})
    assert columns == (2 if width == 400 else 3)


def test_each_slider_stands_in_a_group_with_a_name(open_page, stack, tmp_path):
    write_viewer(read_prediction(stack), "an image", tmp_path / "viewer.html")
    page = open_page(tmp_path / "viewer.html")
    groups = page.eval_on_selector_all(
        "input, select", "all => all.map(e => e.closest('fieldset').querySelector('legend').textContent)"
    )
    assert len(groups) == 8
    assert len(set(groups)) == 5
    assert "grouped by what they change" in page.text_content("body")


def test_a_large_image_is_binned(monkeypatch, tmp_path):
    monkeypatch.setattr(viewer, "MOST_VOXELS", 6 * 8 * 8)
    volume = np.random.default_rng(0).normal(size=(6, 16, 16)).astype(np.float32)
    write_viewer(OmeImage([volume] * 3, ["s", "t", "p"], (1.0, 0.5, 0.5)), "<a title>", tmp_path / "viewer.html")
    html = (tmp_path / "viewer.html").read_text()
    assert "binned 2 x 2" in html
    assert '"um": [1.0, 1.0, 1.0]' in html
    assert "<a title>" not in html


def test_something_else_is_refused(tmp_path):
    write_channels(tmp_path / "two.ome.tif", [np.ones((2, 8, 8), np.float32)] * 2, ["a", "b"], None)
    with pytest.raises(InputError, match=r"two.ome.tif has 2 channels, but wanted are three or four"):
        read_prediction(tmp_path / "two.ome.tif")
    (tmp_path / "no.ome.tif").write_text("no image")
    with pytest.raises(InputError, match=r"no.ome.tif can't be read"):
        read_prediction(tmp_path / "no.ome.tif")


def test_bytes_and_bins_of_the_viewer():
    assert to_bytes(np.array([-1.0, 0, 0.5, 1, 2]), np.array([0.0, 1.0])).tolist() == [0, 0, 128, 255, 255]
    volume = np.arange(2 * 5 * 4, dtype=float).reshape(2, 5, 4)
    assert bin_xy(volume, 2).shape == (2, 2, 2)
    assert bin_xy(volume, 2)[0, 0, 0] == volume[0, :2, :2].mean()

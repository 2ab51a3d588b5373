from __future__ import annotations

import re
from importlib import resources

import pytest

CSS = (resources.files("prodmatch_core.report") / "templates" / "report.css").read_text(encoding="utf-8")
TEXT_COLOURS = ("ink", "muted", "accent", "second", "good", "bad")


def palette(theme: str) -> dict[str, tuple[int, ...]]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    assert len(blocks) == 2
    block = blocks[theme == "dark"]
    colours = {
        name: tuple(bytes.fromhex(code)) for name, code in re.findall(r"--(\w+): #([0-9a-f]{6});", block)
    }
    heat = re.search(r"--heat: (\d+) (\d+) (\d+);", block)
    assert heat is not None
    return {**colours, "heat": tuple(map(int, heat.groups()))}


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "surface"])
@pytest.mark.parametrize("colour", TEXT_COLOURS)
def test_text_is_legible_in_both_themes(theme: str, ground: str, colour: str) -> None:
    found = palette(theme)
    assert contrast(found[colour], found[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_on_the_strongest_heat_is_legible(theme: str) -> None:
    found = palette(theme)
    strength = re.search(r"calc\(var\(--share\) \* ([.\d]+)\)", CSS)
    assert strength is not None
    share = float(strength[1])
    ground = tuple(share * h + (1 - share) * p for h, p in zip(found["heat"], found["paper"], strict=True))
    assert contrast(found["ink"], ground) >= 4.5


def test_themes_define_the_same_colours() -> None:
    assert palette("light").keys() == palette("dark").keys()


def test_every_variable_in_use_is_defined() -> None:
    assert set(re.findall(r"var\(--([\w-]+)", CSS)) - {"share"} <= set(re.findall(r"--([\w-]+):", CSS))

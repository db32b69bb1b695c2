"""Colours of types: eight that stay apart with any colour vision, once for a light and once for a dark page.

Found by a search from Okabe and Ito's (2008) hues for the largest least distance under full vision, protanopia and
deuteranopia, with lines at 3:1 against the page and text at 7:1 on an entity; a test computes them again. A type is
always named in words, too.
"""

from __future__ import annotations

from collections.abc import Iterable

PAGE = {"light": "#ffffff", "dark": "#16181d"}
INK = {"light": "#1b1d22", "dark": "#e9eaee"}
TINT = {"light": 24, "dark": 28}
"""Per cent of a type's colour in the background of its entities."""
COLOURS = {
    "light": ("#0b46e1", "#8f2802", "#3a93a7", "#911550", "#cb820c", "#3f8ce9", "#260079", "#989567"),
    "dark": ("#85dfeb", "#b38914", "#008f56", "#9f5790", "#efd907", "#84aaff", "#7a5bfd", "#7ce58a"),
}
SIZE = len(COLOURS["light"])


def assign(entity_types: Iterable[str], relation_types: Iterable[str]) -> dict[tuple[str, str], int]:
    """A running number for each ("entity" | "relation", type); modulo SIZE it is its colour.

    Relations go on where entities end, so that eight types in all have eight colours.
    """
    keys = [("entity", kind) for kind in entity_types] + [("relation", kind) for kind in relation_types]
    return {key: i for i, key in enumerate(keys)}


def classes(number: int) -> str:
    """Colour and, from the second round of colours on, another line style."""
    return f"c{number % SIZE} round{number // SIZE % 3}"


def css() -> str:
    """The custom properties and the classes `.c0` … that choose one of them."""
    schemes = {name: _properties(name) for name in COLOURS}
    classes = "\n".join(f".c{i} {{ --c: var(--c{i}); }}" for i in range(SIZE))
    return (
        f":root {{ {schemes['light']} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {schemes['dark']} }} }}\n{classes}"
    )


def _properties(scheme: str) -> str:
    base = f"--page: {PAGE[scheme]}; --ink: {INK[scheme]}; --tint: {TINT[scheme]}%;"
    return " ".join([base, *(f"--c{i}: {colour};" for i, colour in enumerate(COLOURS[scheme]))])

"""One event as one picture: onset, apex, what moved where, how surely it is named, and the course of the movement."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from tsfmicro.errors import UsageError
from tsfmicro.motion import REGIONS, grey_of
from tsfmicro.realtime.event_json import SPOT_ONLY
from tsfmicro.realtime.events import MeEnd, MeRejected
from tsfmicro.realtime.evidence.material import Material, Motion, motion_of, pooled_by_rank, region_trace
from tsfmicro.realtime.overlay import EMOTION_COLOURS
from tsfmicro.values import Float32Array, Moment, UInt8Array

Movement: TypeAlias = MeEnd | MeRejected
"""Either end that a movement can come to."""

_INK, _MUTED, _GRID = "#1f2730", "#67727e", "#e4e8ec"
_UNNAMED, _REJECTED = "#1b6ca8", "#6b747d"
_WIDTH, _HEIGHT, _SIDE = 13.2, 7.3, 2.9
"""Of the picture, and of the crops in it; inches."""
_STRIP, _THUMBNAIL, _STRIP_FRAMES = 1.6, 1.16, 8
"""What a window adds to the height, and its pictures, inches; and how many of its frames are shown."""
_LONGEST_NAME = 48
_HEAT = colormaps["inferno"]
_LEAST_SCALE_PERCENT = 2.0
"""The colours reach at least this far, so that the noise of a small movement does not glow."""
_ARROWS = (6, 4, 3, 2, 1)
"""Arrows are drawn so many times as long as the way they show: a micro-expression goes a few pixels."""
_LONGEST_ARROW_PX = 24.0
_ARROW_EVERY_PX = 12


def write_picture(path: Path, material: Material, event: Movement, dynamic_image: Float32Array | None = None) -> None:
    """Write the picture as PNG.

    Args:
        path: of the file.
        material: what was seen; a window in it is shown as a strip.
        event: what came of it.
        dynamic_image: (64, 64) in 0..1 as a recogniser of windows draws it; None from one that draws none.

    Raises:
        UsageError: nothing can be written there.
    """
    figure = _figure(material, event, dynamic_image)
    try:
        # No program version in the file: the same run gives the same picture.
        figure.savefig(path, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    except OSError as error:
        raise UsageError(f"the evidence cannot be written to {path}: {error.strerror}.") from error


def _figure(material: Material, event: Movement, dynamic_image: Float32Array | None = None) -> Figure:
    height = _HEIGHT if material.window is None else _HEIGHT + _STRIP
    figure = Figure(figsize=(_WIDTH, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    _head(figure, event)
    _photo(_place(figure, 0.4, 3.1, _SIDE, _SIDE), material.crops.onset, "onset", event.interval.onset)
    _photo(_place(figure, 3.5, 3.1, _SIDE, _SIDE), material.crops.apex, "apex", event.interval.apex)
    beside = _place(figure, 9.6, 3.1, 0.13, _SIDE)
    _heat(figure, _place(figure, 6.6, 3.1, _SIDE, _SIDE), beside, material, motion_of(material))
    if isinstance(event, MeRejected):
        _numbers(_place(figure, 10.55, 3.1, 2.4, _SIDE), event)
    else:
        _probabilities(_place(figure, 11.45, 3.1, 1.6, _SIDE), event)
    _course(_place(figure, 0.85, 0.62, _WIDTH - 1.1, 1.85), material, event)
    if material.window is not None:
        _strip(figure, material.window, dynamic_image)
    return figure


def _strip(figure: Figure, window: UInt8Array, dynamic_image: Float32Array | None) -> None:
    """Below all else: the frames of the window, and what changed in them as one picture, computed and drawn."""
    places = np.unique(np.linspace(0, len(window) - 1, min(len(window), _STRIP_FRAMES)).round().astype(int))
    pictures: list[tuple[UInt8Array | Float32Array, str]] = [
        (window[place], f"frame {place + 1} of {len(window)}") for place in places
    ]
    pictures += [(pooled_by_rank(window), "pooled by rank")]
    pictures += [] if dynamic_image is None else [(dynamic_image, "drawn by the network")]
    left = 0.4
    for number, (pixels, title) in enumerate(pictures):
        left += 0.25 if number == len(places) else 0.0
        axes = _place(figure, left, 0.15 - _STRIP, _THUMBNAIL, _THUMBNAIL)
        axes.imshow(pixels, cmap="gray", vmin=0.0, vmax=1.0, interpolation="bicubic")  # the scale is for grey ones
        axes.set_title(title, fontsize=8.5, color=_INK, pad=4)
        _bare(axes)
        left += _THUMBNAIL + 0.06


def _place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches; what is below 0 lies in the strip."""
    return figure.add_axes((left / _WIDTH, _up(figure, bottom), width / _WIDTH, height / figure.get_figheight()))


def _up(figure: Figure, y: float) -> float:
    """A height in inches, 0 above the strip, as a share of the picture's."""
    return (y + figure.get_figheight() - _HEIGHT) / figure.get_figheight()


def headline(event: Movement) -> str:
    """Label and probability, or the doubt, or the reasons of a rejection, in words."""
    if isinstance(event, MeRejected):
        return f"rejected: {_words(', '.join(event.reasons))}"
    recognition = event.recognition
    if recognition is None:
        return "micro-expression, not named"
    probability = recognition.probabilities[recognition.top_label]
    if recognition.label is not None:
        return f"{recognition.label}  {probability:.0%}"
    return (
        f"no label ({_words(', '.join(recognition.abstain))}); most likely {recognition.top_label}  {probability:.0%}"
    )


def details(event: Movement) -> str:
    """Whose it is, where it was strongest, and how long it took."""
    i = event.interval
    return (
        f"{_shortened(event.source)}    face {event.face_id}    at {_clock(i.onset.t_s)}    "
        f"{_words(event.region)} {event.magnitude:.1f} % of the inter-ocular distance    "
        f"onset to apex {i.onset_phase_s * 1e3:.0f} ms, to offset {i.duration_s * 1e3:.0f} ms"
    )


def _head(figure: Figure, event: Movement) -> None:
    label = _label(event)
    tall = 0.36 / figure.get_figheight()
    chip = Rectangle((0.4 / _WIDTH, _up(figure, 6.72)), 0.12 / _WIDTH, tall, transform=figure.transFigure)
    chip.set_color(_colour(label) if label else "#c8d0d8")
    figure.add_artist(chip)
    y = _up(figure, 6.9)
    figure.text(0.66 / _WIDTH, y, headline(event), fontsize=18, fontweight="bold", color=_INK, va="center")
    figure.text(1 - 0.25 / _WIDTH, y, event.event_id, fontsize=10.5, color=_MUTED, va="center", ha="right")
    y = _up(figure, 6.45)
    figure.text(0.4 / _WIDTH, y, details(event), fontsize=10.5, color=_MUTED, va="center", parse_math=False)


def _photo(axes: Axes, pixels: UInt8Array, name: str, at: Moment) -> None:
    axes.imshow(pixels, interpolation="bicubic")
    axes.set_title(f"{name}   {at.t_s:.3f} s   frame {at.frame}", fontsize=10.5, color=_INK, pad=6)
    _bare(axes)


def _heat(figure: Figure, axes: Axes, beside: Axes, material: Material, motion: Motion) -> None:
    """The onset in grey, coloured where it moved, with arrows the way it went."""
    reach = max(_LEAST_SCALE_PERCENT, float(np.quantile(motion.magnitude, 0.995)))
    axes.imshow(_heated(grey_of(material.crops.onset), motion.magnitude / reach), interpolation="bicubic")
    length_px = np.hypot(*motion.moves_px.T)
    spaced = np.all(motion.points_px // 4 % (_ARROW_EVERY_PX // 4) == 0, axis=1)
    told = spaced & (length_px * 100.0 / material.align.iod_px > 0.3 * reach)
    longest_px = float(length_px[told].max(initial=0.0))
    times = next((times for times in _ARROWS if times * longest_px <= _LONGEST_ARROW_PX), _ARROWS[-1])
    if told.any():
        (x, y), (right, down) = motion.points_px[told].T, motion.moves_px[told].T * times
        axes.quiver(x, y, right, down, angles="xy", scale_units="xy", scale=1.0, color="white", width=0.007,
                    headwidth=4, headlength=4, headaxislength=3.5, edgecolor=_INK, linewidth=0.5)  # fmt: skip
    axes.set_title(f"moved between the two (arrows x {times})", fontsize=10.5, color=_INK, pad=6)
    _bare(axes)
    axes.set_xlim(-0.5, motion.magnitude.shape[1] - 0.5)
    axes.set_ylim(motion.magnitude.shape[0] - 0.5, -0.5)
    bar = figure.colorbar(ScalarMappable(Normalize(0.0, reach), _HEAT), cax=beside)
    bar.set_label("displacement, % of inter-ocular distance", fontsize=8.5, color=_INK)
    bar.ax.tick_params(labelsize=8, colors=_MUTED, length=2)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5))
    bar.outline.set_visible(False)


def _heated(grey: UInt8Array, share: Float32Array) -> Float32Array:
    """(S, S, 3) in 0..1, coloured by the (S, S) share of the scale."""
    share = np.clip(share, 0.0, 1.0)[..., None]
    colours = _HEAT(share[..., 0])[..., :3]
    # What did not move stays a photograph: colour comes in above a sixth of the scale.
    weight = 0.8 * np.clip((share - 1 / 6) / 0.35, 0.0, 1.0)
    base = (0.25 + 0.7 * grey[..., None] / 255.0) * np.ones(3)
    return np.asarray(base * (1 - weight) + colours * weight, dtype=np.float32)


def _numbers(axes: Axes, event: MeRejected) -> None:
    """What the gates went by."""
    axes.set_axis_off()
    axes.set_title("what the gates measured", fontsize=10.5, color=_INK, pad=6)
    step = 1.0 / max(len(event.evidence), 12)
    for row, (name, value) in enumerate(event.evidence.items()):
        y = 1 - (row + 0.7) * step
        text = _words(name).removesuffix(" percent iod")
        text = f"{text}, % IOD" if name.endswith("_percent_iod") else text
        axes.text(0.0, y, text, fontsize=8.5, color=_MUTED, va="center")
        axes.text(1.0, y, f"{value:.2f}", fontsize=8.5, color=_INK, va="center", ha="right")


def _probabilities(axes: Axes, event: MeEnd) -> None:
    for name, spine in axes.spines.items():
        spine.set_visible(name == "left")
        spine.set_color(_GRID)
    axes.set_xticks([])
    recognition = event.recognition
    if recognition is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"not named:\n{_words(SPOT_ONLY)}", ha="center", va="center", color=_MUTED,
                  fontsize=11, transform=axes.transAxes)  # fmt: skip
        return
    labels = list(recognition.probabilities)
    values = [recognition.probabilities[label] for label in labels]
    given = recognition.label
    colours = [_colour(label) if label == given or given is None else "#c8d0d8" for label in labels]
    rows = np.arange(len(labels))
    axes.barh(rows, values, color=colours, height=0.62, alpha=1.0 if given else 0.45)
    for row, value in zip(rows, values, strict=True):
        axes.text(
            value + 0.02, row, f"{value:.0%}" if value >= 0.005 else "< 1%", va="center", fontsize=9.5, color=_INK
        )
    axes.set_yticks(rows, labels, fontsize=10)
    axes.tick_params(length=0, colors=_INK)
    axes.set_xlim(0, 1.18)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_title("calibrated probability" if event.calibrated else "probability", fontsize=10.5, color=_INK, pad=6)


def _course(axes: Axes, material: Material, event: Movement) -> None:
    """Displacement of every region over time, the strongest one in colour."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(axis="both", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, labelsize=9, length=0)
    label = _label(event)
    colour = _colour(label) if label else _REJECTED if isinstance(event, MeRejected) else _UNNAMED
    times_s, strongest = material.times_s, region_trace(material, event.region)
    for region in REGIONS:
        if region != event.region:
            axes.plot(times_s, region_trace(material, region), color="#c3cad1", linewidth=0.9, zorder=2)
    axes.fill_between(times_s, strongest, color=colour, alpha=0.15, linewidth=0, zorder=3)
    axes.plot(times_s, strongest, color=colour, linewidth=2.0, marker="o", markersize=3.2, zorder=4)
    top = 1.32 * max(float(material.traces.max()), 0.5)
    i = event.interval
    axes.axvspan(i.onset.t_s, i.offset.t_s, color=colour, alpha=0.06, linewidth=0, zorder=1)
    start_s, span_s = float(times_s[0]), float(times_s[-1] - times_s[0])
    end_s = float(times_s[-1]) + 0.1 * span_s  # room for the word at the offset
    near_s = 0.16 * span_s
    onset_side = "right" if i.onset.t_s - start_s > near_s else "left"
    crowded = min(i.apex.t_s - i.onset.t_s, i.offset.t_s - i.apex.t_s) < near_s
    marks = (("onset", i.onset, onset_side, 0), ("apex", i.apex, "center", int(crowded)), ("offset", i.offset, "left",
             2 * int(i.offset.t_s - i.onset.t_s < near_s and onset_side == "left")))  # fmt: skip
    for name, at, side, row in marks:
        axes.axvline(at.t_s, color=_INK, linewidth=1.3, linestyle="-" if name == "apex" else (0, (4, 3)), zorder=5)
        pad = {"right": -1, "left": 1, "center": 0}[side] * 0.004 * span_s
        axes.text(at.t_s + pad, (0.985 - 0.11 * row) * top, f"{name}  {at.t_s:.3f} s", ha=side, va="top",
                  fontsize=9.5, color=_INK, zorder=6,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})  # fmt: skip
    axes.set_xlim(start_s - 0.005 * span_s, end_s)
    axes.set_ylim(0, top)
    axes.set_ylabel("displacement\n% of inter-ocular distance", fontsize=9, color=_INK)
    axes.set_xlabel(
        f"time in the source (s); {_words(event.region)} as a thick line, the other regions thin, each against the "
        f"first frame shown", fontsize=9, color=_INK,
    )  # fmt: skip


def _label(event: Movement) -> str | None:
    return event.recognition.label if isinstance(event, MeEnd) and event.recognition else None


def _words(name: str) -> str:
    return name.replace("_", " ")


def _clock(t_s: float) -> str:
    """Hours, minutes and seconds, as a player of the recording shows them."""
    minutes, seconds = divmod(t_s, 60.0)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:06.3f}"


def _shortened(name: str) -> str:
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}...{name[-half:]}"


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _colour(label: str) -> str:
    red, green, blue = EMOTION_COLOURS.get(label.lower(), EMOTION_COLOURS["others"])
    return f"#{red:02x}{green:02x}{blue:02x}"

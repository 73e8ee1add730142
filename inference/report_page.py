"""Make the page report.html: each image with its outlines, flagged images first, and the settings of the command."""

import base64
import html
import io
from datetime import date
from string import Template
from urllib.parse import quote

import cv2
import imageio.v3 as iio

from explore import figures_eda
from scores.quality import RULES

THUMBNAIL = 320  # px, larger side
PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 1rem; }
.image { border: 1px solid #ccc; border-radius: 6px; padding: .6rem; overflow-wrap: anywhere; }
.image img { width: 100%; height: 220px; object-fit: contain; background: #000; }
.flagged { border-color: #d55e00; border-width: 2px; }
.flag { display: inline-block; background: #d55e00; color: #fff; border-radius: 4px; padding: 0 .45em; margin: .15em .3em 0 0; }
.histograms img { max-width: 100%; }
table { border-collapse: collapse; } td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
</style></head><body>
<h1>$title</h1>
<p>$summary</p>
$failed
<div class="histograms">$histograms</div>
<h2>Images</h2>
<div class="images">$images</div>
$meanings
<h2>Settings</h2>
<table>$made</table>
</body></html>
""")


def page(folder, images, objects, settings, card, failed):
    """Return the page as text.

    ``images``, ``objects``: the tables. ``failed``: {file: reason}. ``folder`` holds the overlays, which become thumbnails.
    """
    title = f"{_count(len(objects), 'object')} in {_count(len(images), 'image')}"
    flagged = int(_is_flagged(images).sum())
    place = "" if flagged in (0, len(images)) else " It comes first." if flagged == 1 else " They come first."
    links = '<a href="images.csv">images.csv</a> and <a href="measurements.csv">measurements.csv</a>'
    summary = f"{count_flagged(images)}{place} The numbers are in {links}."
    order = sorted(images.to_dict("records"), key=lambda row: -len(_flags(row)))
    raised = {name for row in order for name in _flags(row)}
    return PAGE.substitute(
        title=title,
        summary=summary,
        failed=_list("Not segmented", [html.escape(reason) for reason in failed.values()]),
        histograms=_histograms(objects),
        images="\n".join(_image(folder, row) for row in order),
        meanings=_list("What the flags mean", [f"<b>{n}</b>: {html.escape(RULES[n].text)}" for n in RULES if n in raised]),
        made="".join(
            f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>" for k, v in _made(settings, card)
        ),
    )


def count_flagged(images):
    """Return a sentence that says how many images of the table were flagged."""
    flagged = int(_is_flagged(images).sum())
    if not len(images):
        return "No image was segmented."
    if not flagged:
        return "No image was flagged."
    return f"{flagged} of {_count(len(images), 'image')} {'was' if flagged == 1 else 'were'} flagged."


def _count(number, noun):
    return f"{number} {noun}{'s' * (number != 1)}"


def _is_flagged(images):
    return images["flags"].astype(str) != ""


def _image(folder, row):
    marks = [f'<span class="flag" title="{html.escape(RULES[name].text)}">{name}</span>' for name in _flags(row)]
    name = html.escape(row["name"]) + (f", page {row['page']}" if row["pages"] > 1 else "")
    reason = f"<div>{html.escape(row['explanation'])}</div>" if row["explanation"] else ""
    overlay = folder / row["overlay"]
    shown = (
        f'<img loading="lazy" alt="{name} with outlines" src="{thumbnail(overlay)}">'
        if overlay.exists()
        else "the overlay was deleted"
    )
    return (
        f'<div class="image{" flagged" if marks else ""}"><a href="{quote(row["overlay"])}">{shown}</a>'
        f"<div><b>{name}</b></div>"
        f"<div>{_count(row['objects'], 'object')}, {100 * row['foreground_share']:.1f} % of the area</div>"
        f"<div>{''.join(marks)}</div>{reason}</div>"
    )


def _flags(row):
    return row["flags"].split("; ") if row["flags"] else []


def _histograms(objects):
    if not len(objects):
        return ""
    unit = "µm" if "equivalent_diameter_um" in objects and objects["equivalent_diameter_um"].notna().all() else "px"
    diameter = objects["equivalent_diameter_um" if unit == "µm" else "equivalent_diameter"]
    columns = {f"equivalent diameter, {unit}": diameter, "elongation": objects["elongation"]}
    drawn = io.BytesIO()
    figures_eda.histograms(columns, "Size and shape of all objects").savefig(drawn, format="png", dpi=90)
    return f'<img alt="histograms of size and elongation" src="{_data("png", drawn.getvalue())}">'


def _made(settings, card):
    training = card["training_data"]
    yield "date", date.today().isoformat()
    yield "network trained on", f"{training.get('title', 'not stated')}; licence: {training.get('licence') or 'not stated'}"
    yield "threshold", card["threshold"]
    yield from ((name.replace("_", " "), value) for name, value in settings.items() if value is not None)


def _list(title, items):
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>" if items else ""


def thumbnail(path):
    """Return a PNG file as a small JPEG in a data address."""
    picture = iio.imread(path)
    factor = THUMBNAIL / max(picture.shape[:2])
    if factor < 1:
        size = tuple(max(1, round(side * factor)) for side in picture.shape[1::-1])
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return _data("jpeg", iio.imwrite("<bytes>", picture, extension=".jpg", quality=85))


def _data(kind, content):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

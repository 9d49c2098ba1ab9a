"""The figures that only this experiment has."""

from samplenet.report import figures
from samplenet.report.figures import GREY, Cloud, Layer, Scene, View, picked, sample_layers
from samplenet.report.rows import color, label


def gallery(results, gallery):
    """Show a shape of each class, left with the sample on it, right as rebuilt from the sample.

    Args:
        gallery: `points` (G, N, 3), `names` (G,), and of each sampler s `idx_s` (G, m),
            `reconstruction_s` (G, N, 3) and `shown_nre_s` (G,); of `none` all but idx.
    """
    samplers, clouds = picked(gallery), []
    if not samplers:
        return None
    for c, name in enumerate(gallery["names"]):
        views = []
        if "reconstruction_none" in gallery:
            layers = [Layer("input", gallery["points"][c], GREY), _rebuilt(gallery, "none", c)]
            views.append(View("full cloud", "rebuilt from all points", layers))
        for sampler in samplers:
            layers = [*sample_layers(gallery, sampler, c), _rebuilt(gallery, sampler, c)]
            m, nre = gallery[f"idx_{sampler}"].shape[1], gallery[f"shown_nre_{sampler}"][c]
            note = f"rebuilt from it, NRE {nre:.2f}"
            views.append(View(f"{label(sampler)}, m = {m}", note, layers))
        clouds.append(Cloud(str(name), views))
    return Scene("Point clouds", clouds)


def _rebuilt(gallery, sampler, c):
    shade = GREY if sampler == "none" else color(sampler)
    return Layer("rebuilt", gallery[f"reconstruction_{sampler}"][c], shade, aside=True)


def nre_histogram(results, gallery):
    """Draw each sampler's distribution of NRE over the test shapes, at the gallery's size.

    Args:
        gallery: of each sampler s `nre_s`, of every test shape, and `idx_s`.
    """
    values = {sampler: gallery[f"nre_{sampler}"] for sampler in picked(gallery)}
    if not values:
        return None
    m = gallery[f"idx_{next(iter(values))}"].shape[1]
    words = f"m = {m}, matched points"
    return figures.histogram("NRE of a shape", "test shapes", words, values)

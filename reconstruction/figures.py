"""The figures that only this experiment has."""

from samplenet.report.figures import (
    GREY,
    Cloud,
    Layer,
    Scene,
    View,
    histogram,
    picked,
    sample_layers,
)
from samplenet.report.rows import color, label


def gallery(results, gallery):
    """A shape of each class: left the input or the sample on it, right what the autoencoder rebuilds from that.

    Args:
        gallery: `points` (G, N, 3), `names` (G,), and of each sampler s, and of `none` without idx, `idx_s` (G, m),
            `reconstruction_s` (G, N, 3) and `shown_nre_s` (G,).
    """
    samplers, clouds = picked(gallery), []
    for c, name in enumerate(gallery["names"] if samplers else ()):
        views = []
        if "reconstruction_none" in gallery:
            layers = [Layer("input", gallery["points"][c], GREY), _rebuilt(gallery, "none", c)]
            views.append(View("full cloud", "rebuilt from all points", layers))
        for sampler in samplers:
            layers = [*sample_layers(gallery, sampler, c), _rebuilt(gallery, sampler, c)]
            m, nre = gallery[f"idx_{sampler}"].shape[1], gallery[f"shown_nre_{sampler}"][c]
            views.append(
                View(f"{label(sampler)}, m = {m}", f"rebuilt from it, NRE {nre:.2f}", layers)
            )
        clouds.append(Cloud(str(name), views))
    return Scene("Point clouds", clouds) if clouds else None


def _rebuilt(gallery, sampler, c):
    shade = GREY if sampler == "none" else color(sampler)
    return Layer("rebuilt", gallery[f"reconstruction_{sampler}"][c], shade, aside=True)


def nre_histogram(results, gallery):
    """How NRE is spread over the test shapes, of every sampler at the gallery's size.

    Args:
        gallery: of each sampler s `nre_s`, of every test shape, besides the arrays above.
    """
    values = {sampler: gallery[f"nre_{sampler}"] for sampler in picked(gallery)}
    if not values:
        return None
    m = gallery[f"idx_{next(iter(values))}"].shape[1]
    return histogram("NRE of a shape", "test shapes", f"m = {m}, matched points", values)

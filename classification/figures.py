"""The pictures of clouds that only this experiment has."""

from samplenet.report.figures import Cloud, Scene, View, picked, sample_layers
from samplenet.report.rows import label


def gallery(results, gallery):
    """A few test clouds with the points that each sampler picked, and what the classifier made of them.

    Args:
        gallery: `points` (G, N, 3), `names` (G,), and of each sampler s `idx_s` (G, m) and `predicted_s` (G,).
    """
    samplers, clouds = picked(gallery), []
    for c, name in enumerate(gallery["names"] if samplers else ()):
        views = []
        for sampler in samplers:
            guess = gallery[f"predicted_{sampler}"][c]
            note = f"classified as {guess}" + ("" if guess == name else ", wrong")
            m = gallery[f"idx_{sampler}"].shape[1]
            views.append(
                View(f"{label(sampler)}, m = {m}", note, sample_layers(gallery, sampler, c))
            )
        clouds.append(Cloud(str(name), views))
    return Scene("Point clouds", clouds) if clouds else None

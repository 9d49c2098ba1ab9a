"""The pictures of clouds that only this experiment has."""

from samplenet.report.figures import Cloud, Scene, View, picked, sample_layers
from samplenet.report.rows import label


def gallery(results, gallery):
    """Show test clouds with the points that each sampler picked and the class predicted from them.

    Args:
        gallery: `points` (G, N, 3), `names` (G,), and of each sampler s `idx_s` (G, m) and
            `predicted_s` (G,).
    """
    samplers, clouds = picked(gallery), []
    if not samplers:
        return None
    for c, name in enumerate(gallery["names"]):
        views = []
        for sampler in samplers:
            guess = gallery[f"predicted_{sampler}"][c]
            note = f"classified as {guess}" + ("" if guess == name else ", wrong")
            m, layers = gallery[f"idx_{sampler}"].shape[1], sample_layers(gallery, sampler, c)
            views.append(View(f"{label(sampler)}, m = {m}", note, layers))
        clouds.append(Cloud(str(name), views))
    return Scene("Point clouds", clouds)

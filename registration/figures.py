"""The pictures of pairs that only this experiment has."""

from samplenet.report.figures import Cloud, Layer, Scene, View
from samplenet.report.rows import SAMPLERS, label

# colours of all points, and of the sampled ones
TEMPLATE, SOURCE = ("#efab5a", "#b8430b"), ("#86b4de", "#123f73")


def pairs(results, gallery):
    """Show pairs of clouds before alignment, and after it by each sampler's points.

    Args:
        gallery: `template`, `source` (G, N, 3) and `error_before` (G,) in degrees; of each sampler
            s `error_s` (G,), `moved_s` (G, N, 3), the whole template moved by the estimate, and,
            where it samples, `idx_template_s`, `idx_source_s` (G, m).
    """
    if "template" not in gallery:
        return None
    clouds = [Cloud(f"pair {g + 1}", _views(gallery, g)) for g in range(len(gallery["template"]))]
    return Scene("Pairs of clouds", clouds)


def _views(gallery, g):
    source = Layer("source", gallery["source"][g], SOURCE[0])
    template = Layer("template", gallery["template"][g], TEMPLATE[0])
    views = [View("before", _error(gallery["error_before"][g]), [source, template])]
    for sampler in [name for name in SAMPLERS if f"moved_{name}" in gallery]:
        moved, name = gallery[f"moved_{sampler}"][g], label(sampler)
        layers = [source, Layer("template", moved, TEMPLATE[0])]
        if f"idx_template_{sampler}" in gallery:
            on_source = source.points[gallery[f"idx_source_{sampler}"][g]]
            on_template = moved[gallery[f"idx_template_{sampler}"][g]]
            layers.append(Layer("source: sampled", on_source, SOURCE[1], 5))
            layers.append(Layer("template: sampled", on_template, TEMPLATE[1], 8, ring=True))
            name += f", m = {len(on_source)}"
        views.append(View(name, _error(gallery[f"error_{sampler}"][g]), layers))
    return views


def _error(degrees):
    return f"rotation error {degrees:.1f}°"

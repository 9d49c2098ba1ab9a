"""Configure Sphinx: bash docs/build.sh. Uses nothing from the network, neither built nor read."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

project = html_title = "SampleNet"
extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath"]
smartquotes = False  # which turn the -- of flags into dashes
myst_heading_anchors = 4  # links to headings, as on GitHub
html_theme = "furo"
html_static_path = html_css_files = ["site.css"]
html_copy_source = html_show_copyright = html_use_index = False
html_math_renderer = "mathml"  # Sphinx's own need scripts or LaTeX


def mathml(translator, node):
    """Write a formula as MathML, which browsers show."""
    block = isinstance(node, nodes.math_block)
    translator.body.append(tex2mathml(node.astext(), as_block=block))
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))

"""A knowledge graph as one HTML page."""

from tablert_dist.inference.graph.targets import Target

HTML = Target(".html", "tablert_dist.pages.graph.page:write_html", texts=True)
"""`tablert graph --to html`."""

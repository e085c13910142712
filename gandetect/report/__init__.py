"""Pictures and pages: mean spectra with bands, score histograms, the report of a screening run.

Needs the extra `report` (matplotlib, jinja2). Nothing here reaches the network, and no page refers
to anything outside itself.
"""

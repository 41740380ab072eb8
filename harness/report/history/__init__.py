"""The page of `gradrace history show`: what changed, and a panel for each cell.

page.py writes it; read chart.py first: the content of a panel. panels.py makes panels of a
history's lines, changes.py words changes, versions.py says when a library moved, links.py leads
to commits."""

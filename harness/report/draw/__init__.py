"""Tidy tables to figures; everything is computed before it is drawn, without pyplot's global state.

Read `looks` (colours, dashes, markers), `axes` and `legend` first; `svg` puts a figure into the
page. `lines`, `bands`, `dots` and `cells` draw any lines, means with ranges, marks and heat maps.
The others draw one kind of figure: `convergence` (with `values`, its y axes), `targets`, `times`,
`breakdown`, `paths`, `ratios`, `draws`, `gaps`, `diagnosis` and `tuning`.
"""

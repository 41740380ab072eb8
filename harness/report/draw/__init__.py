"""Tidy tables to figures; everything is computed before it is drawn, without pyplot's global state.

Read looks (colours, dashes, markers), axes and legend first; svg puts a figure into the page. For
any table: lines, bands, dots, cells. One kind of figure each: convergence (with values, its y
axes), targets, times, breakdown, paths, ratios, draws, gaps, diagnosis, tuning."""

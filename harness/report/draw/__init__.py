"""Tidy tables to figures; everything is computed before it is drawn, without pyplot's global state.

Read looks, names, axes, limits and legend first. svg puts a figure into the page, its paths made
compact, with what touch tells of its artists and panels makes of that; lazy imports a drawing
function when it is called; worker is a process that draws. For any table: lines, bands, dots,
cells. One kind of figure each: convergence (with values, its y axes), targets, arrivals,
learning_rates, batch_sizes, schedules, profiles, architecture, initializers, times, breakdown,
paths, ratios, standing, draws, gaps, diagnosis, tuning, history."""

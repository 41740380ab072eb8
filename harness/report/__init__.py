"""Frames to figures to pages. Read `page` first: for each suite a `builder` makes tables and
figures, the sections in `sections` say what is shown, and the templates draw their `content`.

`tables` computes, `draw` draws, `columns` and `cells` make tables, `notes` and `text` words;
`head` and `appendix` stand before and after the sections, `fairness` judges verdicts. `writer` puts
pages, data and `scripts` into a folder, `fresh` tells whether they are still right. `timing_text`
and `record_text` are for a terminal.
"""

"""Frames to pages. Read page first: for each suite a builder makes tables and figures; the modules
of sections say which, and templates draw their content. tables compute, draw draws; columns and
cells make tables; notes and text, words; head and appendix stand before and after the sections;
fairness judges verdicts. series says which lines figures show; drawing draws them all together;
kept has those of an earlier report. writer fills a folder, scripts too; names are those of its
pages, beside those of other commands; fresh tells whether it is still right. site is for `publish`;
jinja loads templates; certificate is the page of `certify`. For a terminal: timing_text,
record_text, side_by_side."""

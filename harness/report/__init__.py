"""Frames to figures to HTML."""

"""One module per framework, the only place that imports it. `gradrace.registry` finds them by
looking in this folder.
"""

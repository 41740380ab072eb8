"""An optimizer beside the known rules and beside another one. Read `search` first.

`against`: one rule. `answer`: the nearest of all. `probes`: another implementation. `scenes`: the
gradients. `settings`: the numbers that a class is asked at. `courses`: the steps of a class and of
a rule on a scene. `difference`: where two courses part. `candidates`: the known rules and their
variations; `twists`: changes of any rule, `forms`: Adam and momentum, written in every way.
`reproduction`: the smallest script that shows a difference. `said`: numbers and lists for people.
"""

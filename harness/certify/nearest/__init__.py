"""An optimizer beside the known rules and beside another one. Read `search` first.

`against`: one rule. `answer`: the nearest of all. `probes`: another implementation. `scenes`,
`settings`: gradients and numbers that a class is asked at. `courses`, `difference`: the steps, and
where two part. `candidates`: the known rules, `versions`, `twists`, `forms` of Adam and momentum.
`reproduction`: the smallest script that shows a difference. `said`: numbers and lists for people.
"""

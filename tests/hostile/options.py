"""Wrong command lines with exit code and words of the message. `s.toml` is a good suite."""

from __future__ import annotations

from rows import rows

DRY = "run s.toml --dry-run "
TUNE = "tune --task digits_mlp --optimizer sgd --framework numpy --dry-run "

# Arguments, exit code, and words that the message must hold. Python reads ³ and ٣ as numbers;
# people do not write them.
OPTIONS: list[tuple[str, int, str]] = [
    (DRY + "--seeds ³", 2, "is not a whole number"),
    (DRY + "--seeds ٣", 2, "is not a whole number"),
    (DRY + f"--seeds {'9' * 5000}", 2, "is not a whole number of at most 18 digits"),
    (DRY + "--shard ²/³", 2, "expected i/n"),
    (DRY + "--shard ١/٢", 2, "expected i/n"),
    (DRY + f"--shard 1/{'9' * 5000}", 2, "expected i/n"),
    (DRY + "--shard 100000000/100000000", 5, "matches"),
    (DRY + "--device ''", 2, "device: "),
    (DRY + "--device tpu", 2, "device: "),
    (DRY + "--dtype ''", 2, "dtype: "),
    (DRY + "-k nothing_is_called_so", 5, "none of its"),
    (DRY + "-k '!digits'", 5, "none of its"),
    (DRY + "-k [/b]", 5, "none of its"),
    (f"run {'x' * 5000} --dry-run", 2, "no suite|cannot be read"),
    (f"run {'d/' * 3000}s.toml --dry-run", 2, "no suite|cannot be read"),
    (TUNE + "--nested-cv ³x³", 2, "expected OUTERxINNER"),
    (TUNE + f"--nested-cv {'9' * 5000}x3", 2, "expected OUTERxINNER"),
    ("compare nope", 2, ""),
    ("compare --a framework=nunpy --b framework=numpy", 5, "did you mean 'numpy'"),
    ("bisect a b -k nothing_is_called_so", 5, "no cell of quick matches"),
    ("bisect a b --suite s.toml --losses -k nothing_is_called_so", 5, "none of its|no run of"),
    ("calibrate --thresholds ''", 2, ""),
    (f"report -o {'x' * 5000}", 2, "x"),
    ("show ''", 2, ""),
    ("export asv --commit nope", 2, ""),
    ("verify -k nothing_is_called_so", 5, ""),
    ("certify adamww", 2, "did you mean 'adamw'"),
    ("certify torch:AdamW", 2, "no import path"),
    ("certify torch:./nope.py:Mine", 2, "no such file"),
    ("certify adamw --framework torhc", 2, "did you mean 'torch'"),
    ("certify adamw --rule adamww", 2, "did you mean 'adamw'"),
    ("certify adamw --like adamww", 2, "did you mean 'adamw'"),
    ("certify adamw --hyper betas", 2, "expected NAME=VALUE"),
    ("certify adamw --timeout nan", 2, "is not a finite number"),
    ("certify adamw --python torch", 2, "expected FRAMEWORK=INTERPRETER"),
    *(
        (line, 2, words)
        for line, words in rows(
            """
[run s.toml --dry-run $]
--timeout inf -> 'inf' is not a finite number
--timeout nan | --train-fraction nan -> 'nan' is not a finite number
--timeout -inf | --timeout 1e400 -> is not a finite number
--timeout 1e9 -> 1,000,000,000 is more than 2,592,000
--timeout 0 -> 0 is less than 0.1
--timeout -1 -> less than 0.1
--timeout x -> 'x' is not a number
--timeout '' -> '' is not a number
--seeds 0 | --threads 0 -> 0 is less than 1
--seeds -1 -> -1 is less than 1
--seeds 1000000000000 -> 1,000,000,000,000 is more than 100,000
--seeds 1.0 -> '1.0' is not a whole number
--seeds true -> 'true' is not a whole number
--seeds 1_0 -> '1_0' is not a whole number
--seeds '' -> '' is not a whole number
--threads 1000000000000 -> is more than 4,096
--threads 1.5 -> is not a whole number
-j -1 -> -1 is less than 0
-j 100000 -> is more than
-j 4000 -> expected a number of workers from 0
-j x -> 'x' is not a whole number
--population 0 | --population 1e9 | --population 65537 -> expected auto, off, or a number of lanes
--population= | --population -1 | --population Auto -> expected auto, off, or a number of lanes
--train-fraction 0 -> train_fractions[0]: expected a number greater than 0
--train-fraction 2 -> train_fractions[0]: expected a number of at most 1
--train-fraction half -> 'half' is not a number
--shard 0/1 -> expected i/n with 1 <= i <= n
--shard 1/0 | --shard 3/2 | --shard -1/2 | --shard a/b | --shard 1 | --shard 1/2/3 -> expected i/n
--shard '' | --shard 1.0/2 -> expected i/n
--scale '' -> no scale ''
--scale small -> no scale 'small'
--dtype float46 -> did you mean 'float64'
--framework nunpy | --python nunpy=/bin/true -> did you mean 'numpy'
--framework '' -> no framework ''
--python nope=/bin/true -> no such framework
--python numpy | --python numpy= -> expected FRAMEWORK=INTERPRETER
--python =x -> FRAMEWORK=INTERPRETER|no such framework
--python numpy=/no/such | --python numpy=. -> cannot be used
--nonsense -> No such option
--load nope.py -> no such file
--load . -> no such file|not a Python file|cannot be read
--load s.toml -> s.toml
--load empty.py -> defines no
--output s.toml -> s.toml|not a folder|cannot be
--data-dir ~nouser/x -> ~nouser
[tune --task digits_mlp --optimizer sgd --framework numpy --dry-run $]
--budget 0 -> --budget 0: at least 1|0 is less than 1
--budget inf -> is not a whole number
--population 0 | --population many -> expected auto, off, or a number of lanes
--budget 1000000000000 -> is more than 1,000,000
--sampler radnom -> did you mean 'random'
--seed -1 -> -1 is less than 0
--seeds 0 | --fresh-seeds 0 | --batch-size 0 -> at least 1|less than 1
--fresh-seeds 10000000 -> is more than 100,000
--nested-cv 1x3 | --nested-cv 5x100000 | --nested-cv 5 -> expected OUTERxINNER
--nested-cv 900x900 -> folds|samples|training
--steps 0 -> --steps 0: at least 1|less than 1
--steps 1000000000000000 -> is more than 100,000,000
--steps 100000000 -> samples to draw
--batch-size 1000000 -> training samples
--threads 100000 -> is more than 4,096
--schedule cosin -> did you mean 'cosine'
--name ../x | --name '' -> cannot name a suite|letters, digits
--space learning_rate -> --space
--space learning_rate=1..0 | --space learning_rate=a..b -> learning_rate
--space learning_rate=nan..1 | --space learning_rate=0..1,log -> learning_rate
--space momentun=0..1 -> momentun
[compare --a framework=numpy --b framework=numpy $]
--threshold nan | --budget inf | --alpha nan -> not a finite number
--threshold -1 -> -1 is less than 0
--budget 0 -> 0 is less than 1
--alpha 2 -> --alpha
--launches 1 -> --launches
--launches 100000 -> is more than 10,000
[time s.toml --dry-run $]
--launches 0 | --threads 0 -> 0 is less than 1
--launches 1000000000 -> is more than 10,000
--blocks 3 -> 3 is less than 4
--blocks 1e3 -> is not a whole number
--timeout inf -> not a finite number
[gate $]
--no-timing --no-convergence -> leave nothing to gate
--budget inf | --budget nan | --timeout inf -> not a finite number
--threshold 0 -> 0 is less than 0.001
--threshold 1 -> 1 is more than 0.999
--launches 2 -> 2 is less than 3
--launches 1000000 -> is more than 10,000
--a-python x -> --a-python and --b-python go together
--base x --a-python y --b-python z -> compare either
nope -> no suite 'nope'
[bisect a b $]
--threshold 0 -> 0 is less than 0.001
--alpha 0 | --alpha 2 | --alpha nan -> --alpha|finite
--budget 0 -> 0 is less than 1
--launches 2 -> 2 is less than 3
--measure stepp -> did you mean 'step'
--losses --measure memory -> choose one of them
--resume nope.jsonl -> not in a git repository|no commit|cannot be read
--load nope.py -> nope.py
--releases '-r x' -> not the name of a distribution
[calibrate $]
--gates 0 -> 0 is less than 1
--gates 10000000 -> is more than 10,000
--slowdowns x | --slowdowns nan | --slowdowns 2 -> expected fractions between 0 and 1
--budget inf -> not a finite number
[$]
run nope --dry-run | time nope --dry-run -> no suite 'nope'
run quik --dry-run -> did you mean 'quick'
run '' --dry-run -> no suite|not a file
run . --dry-run | run /dev/zero --dry-run | run /dev/null --dry-run -> not a file that can be read
run fifo --dry-run -> not a file that can be read
run loop --dry-run | run s.toml/x --dry-run -> no suite|cannot be read
run | baseline | show | export | bisect | bisect a -> Missing argument
run s.toml extra -> unexpected extra argument
tune --task nope --optimizer sgd --dry-run -> no task 'nope'
tune --task digits_mlp --optimizer sdg --dry-run -> did you mean 'sgd'
tune --task '' --optimizer sgd --dry-run -> --task: at least one
tune --task digits_mlp --optimizer , --dry-run -> --optimizer: at least one
tune --optimizer sgd -> Missing option
compare -> nothing to compare
compare nope nope2 | report | report -o s.toml | report -o nope | show 3f2a -> no results there
export csv -> no results there
compare s.toml s.toml -> s.toml
compare --a nonsense --b framework=numpy -> --a
compare --a framwork=numpy --b framework=numpy -> framwork
compare --a-load x.py -> belong together
compare --base x --a framework=numpy -> give one of
baseline updat -> updat
report nope -> nope
report ../x -> cannot name a suite
export cvs -> cvs
export csv nope -> no results|nope
list nonsense -> nothing called 'nonsense' to list
list task -> did you mean 'tasks'
list '' -> nothing called ''
fetch nonsense -> no data set 'nonsense'
fetch mnits -> did you mean 'mnist'
verify --dtype float16 -> nothing can be verified
verify --dtype flaot64 -> did you mean 'float64'
verify --framework nunpy -> nunpy
verify x.md -> only --document takes a file
verify --load nope.py -> no such file
history -> Usage: gradrace history
history nonsense | history import -> No such command
history record s.toml --launches 2 -> 2 is less than 3
history record s.toml --budget nan -> not a finite number
history record s.toml --threshold 0 -> 0 is less than 0.001
history record s.toml --measure setp -> did you mean 'step'
history record s.toml --machine ../x | history record s.toml --machine '' -> --machine
history record s.toml --push origin -> needs --branch
history record s.toml --folder s.toml -> cannot be written
history record s.toml --branch a..b | history record s.toml -> not in a git repository
history show | history show --folder nope | history export asv -> no such folder
history show --branch x -> not in a git repository
history show --asv nope | history show --asv s.toml -> no such folder
history show --asv . -> no results of asv in it
history show --folder . --repo-url x -> --repo-url
history export csv -> csv
nonsense -> No such command
--nonsense -> No such option
"""
        )
    ),
]

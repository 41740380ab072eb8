"""Suites that cannot be: lines of TOML for those of a good suite, and words of the message."""

from __future__ import annotations

from rows import rows

GOOD = {
    "title": 'title = "x"',
    "tasks": 'tasks = ["digits_mlp"]',
    "frameworks": 'frameworks = ["numpy"]',
    "optimizers": 'optimizers = ["sgd"]',
    "dtype": 'dtype = "float64"',
    "seeds": "seeds = 1",
    "steps": "steps = 20",
    "eval_every": "eval_every = 10",
}

# Lines, and words that the message must hold.
SUITES: list[tuple[str, str]] = [
    (f"seeds = {10**400}", "seeds: expected a number of at most 100000"),
    ("dtype = []", "dtype: "),
    ("convergence = { rule = [] }", "convergence.rule: "),
    (
        "seeds = 99999\nsteps = 1\nschedules = ['constant', 'cosine', 'step']",
        "runs are more than can be planned, 200,000",
    ),
    (
        "search = { draws = 1000000000000, learning_rate = { low = 0.1, high = 1 } }",
        "search.draws: expected a number of at most",
    ),
    *rows(
        """
title = 3 -> title: expected text, not 3
title = ["x"] -> title: expected text
title = true -> title: expected text, not True
question = 1 -> question: expected text
tasks = "digits_mlp" | tasks = {} -> tasks: expected a list
tasks = [] -> tasks: expected at least one entry
tasks = [1] -> tasks[0]: expected text, not 1
tasks = [true] -> tasks[0]: expected text
tasks = ["digit_mlp"] -> did you mean 'digits_mlp'
tasks = [""] -> no task ''
tasks = ["../digits_mlp"] -> no task '../digits_mlp'
frameworks = "numpy" -> frameworks: expected a list
frameworks = [] -> frameworks: expected at least one entry
frameworks = ["nunpy"] | modes = { nunpy = ["reference"] } -> did you mean 'numpy'
frameworks = [0.5] -> frameworks[0]: expected text
optimizers = [] -> optimizers: expected at least one entry
optimizers = 3 -> optimizers: expected a list, not 3
optimizers = [3] -> optimizers[0]: expected text or a table
optimizers = ["adm"] -> did you mean 'adam'
optimizers = [{}] -> optimizers[0].name: is missing
optimizers = [{ nam = "adam" }] -> unknown key 'optimizers[0].nam' (did you mean 'name'?)
optimizers = [{ name = 3 }] -> optimizers[0].name: expected text
optimizers = [{ name = "adam", hyper = 3 }] -> optimizers[0].hyper: expected a table
seeds = true -> seeds: expected a whole number or a list, not True
seeds = "3" -> seeds: expected a whole number or a list, not '3'
seeds = 3.0 -> seeds: expected a whole number or a list, not 3.0
seeds = 0 | seeds = -1 -> seeds: expected a number greater than 0
seeds = [] -> seeds: expected a whole number or at least one entry
seeds = [0, true] -> seeds[1]: expected a whole number
seeds = [-1] -> seeds[0]: expected a number of at least 0
seeds = [99999999999] -> seeds[0]: expected a number less than 2147483648
seeds = 1000000000000 -> seeds: expected a number of at most 100000
steps = 0 -> steps: expected a number greater than 0
steps = 10.5 -> steps: expected a whole number, not 10.5
steps = true -> steps: expected a whole number, not True
steps = 1000000000000000 -> steps: expected a number of at most 100000000
steps = 100000000 -> 3200000000 samples to draw; the limit is
steps = nan | steps = 1979-05-27 -> steps: expected a whole number
eval_every = 0 | eval_every = -3 -> eval_every: expected a number greater than 0
eval_every = "10" -> eval_every: expected a whole number
batch_sizes = [] -> batch_sizes: expected at least one entry
batch_sizes = [0] -> batch_sizes[0]: expected a number greater than 0
batch_sizes = [true] -> batch_sizes[0]: expected a whole number
batch_sizes = [1000000000] -> larger than the
batch_sizes = 32 -> batch_sizes: expected a list
train_fractions = [0] -> train_fractions[0]: expected a number greater than 0
train_fractions = [1.5] -> train_fractions[0]: expected a number of at most 1
train_fractions = [nan] -> train_fractions[0]: expected a finite number
train_fractions = [1e-9] -> fewer than a batch
train_fractions = [true] -> train_fractions[0]: expected a number
diagnose = 1 -> diagnose: expected true or false, not 1
diagnose = "yes" -> diagnose: expected true or false
dtype = "float46" -> did you mean 'float64'
dtype = 64 -> dtype: expected 'float32', 'float64' or 'bfloat16' or a list
device = "gpux" -> did you mean 'gpu'
device = ["cpu", "tpu"] -> device[1]: 'tpu' is none of 'cpu' or 'gpu'
threads = 0 -> threads: expected a number greater than 0
threads = 1000000000000 -> threads: expected a number of at most 4096
threads = [1, 1.5] -> threads[1]: expected a whole number
threads = "all" -> threads: expected a whole number
modes = "al" -> modes: expected 'all' or a table
modes = { numpy = "reference" } -> modes.numpy: expected a list
modes = { numpy = ["referense"] } -> did you mean 'reference'
modes = { numpy = [] } -> modes.numpy: expected at least one entry
schedules = [] -> schedules: expected at least one entry
schedules = "constant" -> schedules: expected a list
schedules = ["cosin"] | schedules = [{ kind = "cosin" }] -> did you mean 'cosine'
schedules = [{ kin = "step" }] -> unknown key 'schedules[0].kin' (did you mean 'kind'?)
schedules = [{ kind = "step", params = 3 }] -> schedules[0].params: expected a table
timing = true -> timing: expected a table or false, not True
timing = "yes" -> timing: expected a table or false
convergence = true -> convergence: expected a table or false
convergence = false -> nothing to run: both `convergence` and `timing` are off
convergence = { rule = "nativ" } -> did you mean 'native'
convergence = { rules = 1 } -> unknown key 'convergence.rules'
activation = "relu" -> activation: expected a list
activation = ["rellu"] -> did you mean 'relu'
activation = [] -> activation: expected at least one entry
initializer = ["he_norml"] -> did you mean 'he_normal'
hidden = [true] -> hidden[0]: expected a whole number
hidden = [0] -> hidden[0]: expected a number greater than 0
hidden = [1000000000000] -> hidden[0]: expected a number of at most 1000000
hidden = [[64, 0]] -> hidden[0][1]: expected a number greater than 0
hidden = ["x"] -> hidden[0]: expected a whole number or a list
hidden = [[1, 2, 3, 4, 5, 6]] -> hidden
depth = [0] -> depth[0]: expected a number greater than 0
depth = [1000000] -> depth[0]: expected a number of at most 1000
depth = 3 -> depth: expected a list
normalization = ["batsh"] -> did you mean 'batch'
normalization = [1] -> normalization[0]: expected text
regularization = ["non"] -> did you mean 'none'
search = 3 -> search: expected a table
scales = 3 -> scales: expected a table
scales = { small = 3 } -> scales.small: expected a table
instead = 3 -> instead: expected a table
instead = { x = 1 } -> instead.x: expected text
instead = { digits_mlp = "nope" } -> no task 'nope'
titl = "y" -> unknown key 'titl' (did you mean 'title'?)
'' = 1 -> unknown key ''
"a.b" = 1 -> unknown key
[optimizers = [{ name = "adam", learning_rate = $ }]]
true | "0.1" -> optimizers[0].learning_rate: expected a number
0 | -1e-3 -> a number greater than 0
nan | inf -> a finite number
[] -> at least one entry
[1e-3, "x"] -> optimizers[0].learning_rate[1]: expected a number
[optimizers = [{ name = "adam", hyper = { $ } }]]
beta1 = true | beta1 = "0.9" -> optimizers: adam: beta1: expected a number, not
beta1 = nan -> optimizers[0].hyper.beta1: expected
beta1 = 2 -> beta1 = 2 is outside
beta1 = -1 -> beta1 = -1 is outside
beat1 = 0.9 -> did you mean 'beta1'
beta1 = [] -> at least one entry
[schedules = [{ kind = "step", params = { $ } }]]
every = "x" -> schedules[0].params.every: expected a number
evry = 0.5 -> did you mean 'every'
every = nan -> a finite number
every = -1 -> every
[schedules = [{ kind = "constant", params = { $ } }]]
warmup = -1 -> warmup
warmup = true -> a number
[timing = { $ }]
launches = 0 -> timing.launches: expected a number greater than 0
launches = 1000000000 -> timing.launches: expected a number of at most
launchs = 3 -> unknown key 'timing.launchs' (did you mean 'launches'?)
blocks = 1 -> timing.blocks: expected a number of at least 4
blocks = 1000000000000 -> timing.blocks: expected a number of at most
block_steps = 0 -> timing.block_steps: expected a number greater than 0
block_steps = 1000000000000 -> timing.block_steps: expected a number of at most
warmup_steps = -1 -> timing.warmup_steps: expected a number of at least 0
warmup_steps = 1000000000000 -> timing.warmup_steps: expected a number of at most
longest_block_s = 0 -> timing.longest_block_s: expected a number greater than 0
longest_block_s = inf -> timing.longest_block_s: expected a finite number
breakdown = 1 -> timing.breakdown: expected true or false
memory = 0 -> timing.memory: expected true or false
rule = "nativ" -> did you mean 'native'
inputs = ["residnt"] -> did you mean 'resident'
inputs = [] -> timing.inputs: expected at least one entry
tasks = ["digits_cnn"] -> timing.tasks: no task of this suite 'digits_cnn'
optimizers = ["adam"] -> timing.optimizers: no optimizer of this suite 'adam'
[regularization = [{ $ }]]
l2 = -1 -> regularization[0].l2: expected a number of at least 0
l2 = "x" -> regularization[0].l2: expected a number
l3 = 1 -> unknown key 'regularization[0].l3'
dropout = 1 -> regularization[0].dropout: expected a number less than 1
dropout = 0 -> regularization[0].dropout: expected a number greater than 0
early_stopping = 1.5 -> regularization[0].early_stopping: expected a whole number
early_stopping = true -> regularization[0].early_stopping: expected a whole number
clip_norm = inf -> regularization[0].clip_norm: expected a finite number
[learning_rate_grid = { $ }]
points = 4, per_decade = 1 -> 4 is even
points = 1, per_decade = 1 -> learning_rate_grid.points: expected a number of at least 3
points = 1000000001, per_decade = 3 -> learning_rate_grid.points: expected a number of at most
points = 3, per_decade = 0 -> learning_rate_grid.per_decade: expected a number greater than 0
point = 3 -> unknown key 'learning_rate_grid.point' (did you mean 'points'?)
points = 1001, per_decade = 1 -> learning_rate_grid
[search = { draws = 5, learning_rate = { $ } }]
low = 0.1, high = 0.1001 -> there are only 2 combinations
low = 0.1, high = 0.1 | low = 1, high = 0.1 -> the range is empty
low = 0, high = 0.1, log = true -> starts above 0
low = -1, high = 0.1 -> is not greater than 0
low = -1e308, high = 1e308 -> too wide to draw from
low = nan, high = 1 -> search.learning_rate.low: expected a finite number
low = true, high = 1 -> search.learning_rate.low: expected a number
[search = { $ }]
draws = 5 -> search: nothing to draw
draws = 0, batch_size = [8] -> search.draws: expected a number greater than 0
draws = 5, batch_size = [8] -> there are only 1 combinations to draw 5 from
draws = 2, learning_rate = [0.1, 0.1] -> a value is listed twice
draws = 2, hyper = { x = [1, 2] } -> has no hyperparameter 'x'
draw = 2 -> unknown key 'search.draw' (did you mean 'draws'?)
[scales = { small = { $ } }]
seeds = true -> scales.small.seeds: expected a whole number
title = "y" -> scales.small.title: a scale changes what is swept
sedes = 1 -> unknown key 'scales.small.sedes' (did you mean 'seeds'?)
"""
    ),
]

# Whole files: name, bytes and words.
FILES: list[tuple[str, bytes, str]] = [
    ("empty.toml", b"", "tasks: is missing|title: is missing"),
    ("words.toml", b"hello", "not valid TOML"),
    ("open.toml", b"title = ", "not valid TOML"),
    ("twice.toml", b"title = 'a'\ntitle = 'b'", "not valid TOML"),
    ("utf16.toml", "title = 'x'".encode("utf-16"), "not UTF-8 text"),
    ("latin1.toml", "title = 'ü'".encode("latin-1"), "not UTF-8 text"),
    ("binary.toml", bytes(range(256)), "not UTF-8 text|not valid TOML"),
    ("nul.toml", b"title = '\x00'", "not valid TOML"),
    ("deep.toml", b"x = " + b"[" * 100_000, "too deep|not valid TOML"),
    ("deep_tables.toml", b"x = " + b"{a=" * 5_000, "too deep|not valid TOML"),
    ("digits.toml", b"seeds = " + b"9" * 5_000, "not valid TOML"),
    ("large.toml", b"# " + b"x" * 2_000_000, "larger than 1000000 bytes"),
    ("json.toml", b'{"title": "x"}', "not valid TOML"),
    ("array.toml", b"[[title]]", "title: expected text"),
    ("table.toml", b"title = 'x'\n[seeds]\nx = 1", "seeds|is missing"),
]

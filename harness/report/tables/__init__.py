"""Pure functions from frames to the tables of a report; times in seconds, accuracies as fractions.

Read planned first (runs, named by naming, helped by grouping), then endings, rates, outcomes. Step
times: timed, lookup, machines, step_costs. Curves: points, schedules, rules. Targets: targets,
arrivals, profiles, standings. Frameworks that agree: agreement, merged, pooling. Panels: facets.
Others for a section each: architecture, baseline, basins, batch_sizes, contenders, contests,
diagnosed, native, random_search, ranks, tuning, variations."""

from .agreement import agreement as agreement
from .endings import ATTEMPTED as ATTEMPTED
from .machines import are_of_several_machines as are_of_several_machines
from .machines import machine_labels as machine_labels
from .machines import timed_on_several as timed_on_several
from .merged import merged as merged
from .merged import merged_alike as merged_alike
from .naming import hypers_unsaid as hypers_unsaid
from .outcomes import joules_apart as joules_apart
from .outcomes import steps_text as steps_text
from .outcomes import summary as summary
from .outcomes import summary_compact as summary_compact
from .planned import all_runs as all_runs
from .planned import metrics as metrics
from .planned import missing as missing
from .planned import not_ok as not_ok
from .planned import runs as runs
from .points import bands as bands
from .points import curves as curves
from .points import paths as paths
from .points import train_bin as train_bin
from .points import with_runs as with_runs
from .pooling import pooled as pooled
from .rates import best_rates as best_rates
from .rates import chosen as chosen
from .rates import learning_rates as learning_rates
from .rules import schedule_curves as schedule_curves
from .targets import attempts as attempts
from .timed import by_mode as by_mode
from .timed import pace as pace
from .timed import step_times as step_times
from .timed import throughput as throughput

"""The files that `init` and `demo` write, as text with comments for their reader."""

SCHEMA_NAME = "job.schema.json"
"""The schema that a job file names, beside it."""

SPACE_NAME = "search_spaces/encoder_small.yaml"
"""The search space that a job file names, below its folder."""

JOB = """\
# yaml-language-server: $schema=./job.schema.json
# A job of lexmove. `lexmove plan {file}` says what it would do, `lexmove tune {file}` does it.

name: {name}  # of the study: unique in its store

{task}

model:
  name: minilm            # built in; or a hub id such as answerdotai/ModernBERT-base, or a folder
  num_hidden_layers: 2    # only the first layers; leave it out for all of them
  max_length: 64          # tokens of a text that are read

metric: {{name: f1_macro, goal: maximize}}  # or accuracy, mcc, …; or your own: costs.py:cost

space: {space}  # what may be tried

budget:
  trials: 24      # trainings: most for the search, at most a third to repeat the best
  parallel: {parallel}     # trials at once
  # wall_clock: 6h  # with `trials` left out: as many as this time allows
  # trial: 30m      # end a trial's segment after this time

fidelity:
  max_epochs: 4   # the length of a full trial
  eta: 2          # pause trials on the way, the best half goes on; leave it out to train all fully

resources: {{cpu: 1, gpu: 0}}  # of one trial; gpu: 0.5 lets two share one

# agent:
#   starts: [{{learning_rate: 3e-4}}]  # configs that you want tried first

# finalists:
#   top: 3        # the best configs are repeated at the end, paid from the budget
#   seeds: 3      # with so many fresh seeds, and scored on the test split

# store: sqlite:///studies.db  # where studies are kept: the default
# seed: 0
"""

BUILT_IN_TASK = """\
task:
  name: {task}            # real licence texts: license_category, _families, _listing, _mc, _role
  max_train: 1000         # cut the splits down; leave these out for all of the data
  max_validation: 800
  max_test: 800"""

FILES_TASK = """\
task:
  files:
    train: {train}
    {validation}  # what is not given is split off train: 60/20/20
    {test}
  text: {text}  # the column with the text
  label: {label}  # the column with the class
  {separator}  # what divides the labels of a text that has several
  {pair}  # the column of second texts, judged together with the first ones
  {endings}  # where one of several endings is right; label is its number from 0
  {group}  # a column whose values never fall on both sides of a split
  # on_bad_rows: skip     # leaves rows out that cannot be used, counted and listed"""

DEMO_JOB = """\
# yaml-language-server: $schema=./job.schema.json
# The demo: the category of licence texts by a two-layer MiniLM; five to ten minutes on two cores.
name: {name}
task:
  name: license_category
  max_train: 1000
  max_validation: 800
  max_test: 800
model: {{name: minilm, num_hidden_layers: 2, max_length: 40}}
metric: {{name: f1_macro, goal: maximize}}
space: {space}
budget: {{trials: 29, parallel: {parallel}}}  # 20 for the search, 9 for the repetitions
fidelity: {{max_epochs: 4, eta: 2}}
resources: {{cpu: 1}}
store: {store}
storage: {storage}
finalists:
  top: 1
  seeds: 3
  compare:
    - {{name: hand setting, config: {{learning_rate: 5e-4}}}}
"""

SPACE = """\
# Fine-tuning the built-in MiniLM (6 layers of 384, fewer where the job says so) or another small
# sentence encoder. Small models want larger learning rates: macro-F1 still rises between 1e-3 and
# 3e-3, where a large encoder has long diverged. The default is the plain one on purpose: it is
# what the study has to beat.
parameters:
  # On this model the learning rate explains about four fifths of all differences.
  learning_rate: {min: 1e-5, max: 5e-3, log: true, default: 5e-5}
  per_device_train_batch_size: {values: [8, 16, 32], ordered: true, default: 16}

  # Below 1, warmup_steps is a share of all optimizer steps.
  warmup_steps: {min: 0.0, max: 0.3, default: 0.0}
  lr_scheduler_type: {values: [linear, cosine, constant_with_warmup], default: linear}
  weight_decay: {min: 0.0, max: 0.3, default: 0.0}
  max_grad_norm: {value: 1.0}

  label_smoothing_factor: {min: 0.0, max: 0.2, default: 0.0}
  # A sentence encoder was trained with mean pooling: its [CLS] token says little at small rates.
  model.pooling: {values: [mean, cls], default: mean}
  model.classifier_dropout: {min: 0.0, max: 0.5, default: 0.1}
  model.hidden_dropout: {min: 0.0, max: 0.3, default: 0.1}
  # The head starts from nothing and may learn faster than the encoder.
  model.head_lr_multiplier: {min: 1.0, max: 30.0, log: true, default: 10.0}
  # Half of this small model's weights are word embeddings: frozen, they need no gradient, no
  # optimizer state and no room in a checkpoint.
  model.freeze_embeddings: {value: true}
"""
"""As `search_spaces/encoder_small.yaml`, which an installed package does not bring along."""

"""Tables, plots and pages made from figures: a run's summary, its report, and comparisons.

`fedcxr.evaluation` computes the figures; here they are written down for people.
"""

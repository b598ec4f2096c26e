"""How good a model is: metrics by study, intervals over patients, thresholds, robustness and explanations.

Functions take probabilities and labels as arrays and return figures; how figures look is `fedcxr.report`'s.
"""

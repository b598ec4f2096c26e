"""Predictions and labels as CSV files from anywhere: read strictly, and scored as CheXpert does.

`fedcxr evaluate` comes in; nothing here needs a run or a model.
"""

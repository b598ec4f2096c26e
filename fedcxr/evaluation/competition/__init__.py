"""Predictions and labels as CSV files from anywhere: read strictly, and scored as CheXpert does."""

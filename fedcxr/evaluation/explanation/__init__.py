"""Saliency maps of a model, and their scores: localisation by masks, deletion and insertion."""

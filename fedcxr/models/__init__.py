"""The networks, built from the configuration by name, and where their weights start.

A model is a file and a row of `fedcxr.models.registry`. Nothing here knows how a model is trained, sent or
scored.
"""

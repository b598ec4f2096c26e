"""The measurements of `fedcxr bench`: rounds, trainer, model, gas, audit and consensus.

A measurement calls the code that a run calls, and returns figures; only the command line imports it.
"""

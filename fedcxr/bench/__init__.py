"""The measurements of `fedcxr bench`: rounds, trainer, model, gas, audit and consensus."""

"""Differential privacy by patient: what training may spend, and the noise that it draws."""

"""The forms in which an update travels: how fine its integers are, and the bytes that carry them.

Hospitals, the coordinator and the audit come in through `fedcxr.update.forms.kinds`.
"""

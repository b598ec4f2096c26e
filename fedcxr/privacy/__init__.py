"""What protects an update on its way and at rest: one `Protection` a kind, and the keys and envelope it uses.

The hospital, the coordinator, the audit and the court's client come in through `fedcxr.privacy.kinds`.
"""

"""How a round's updates become one sum: screening by a rule that anyone can replay, then exact addition.

The engine and the audit come in through `fedcxr.aggregation.kinds`, so that what is recomputed is what was
computed.
"""

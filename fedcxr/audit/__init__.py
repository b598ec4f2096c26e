"""The audit: what can be proven of a run afterwards, from its ledger and its store alone.

It believes nothing that the coordinator says, recomputes every sum and model, and reports findings, what it
could not check, and notes. It shares the aggregation with the server and imports none of the server's code.
"""

"""The client of the dispute court: it finds what is wrong with a round and brings it to the contract.

Only what the contract itself can judge belongs here; everything else is a finding of the audit.
"""

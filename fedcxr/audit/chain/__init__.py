"""An endpoint's chain, held to its own block headers and receipts.

Only the audit and whoever verifies an export come here; what reads quickly and believes is `fedcxr.indexer`.
"""

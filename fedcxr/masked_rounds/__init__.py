"""Masked rounds between hospitals, coordinator and auditor: what of secure aggregation needs the ledger.

Here are attempts as the ledger has them, the answers that hospitals sign, and the seeds that are published.
The parts without a ledger are in ``fedcxr.privacy.secagg``; nothing here sends, trains or writes.
"""

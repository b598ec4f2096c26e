"""Procedural chest X-rays in the CheXpert layout, for machines without CheXpert. SYNTHETIC, and named so.

They are phantoms: good for trying a federation from data to audit, and for tests with a known truth. They
say nothing about how a model reads real radiographs.
"""

from fedcxr.data.phantom.generate import NOTICE, generate
from fedcxr.data.phantom.masks import mask_path, read_mask

__all__ = ["NOTICE", "generate", "mask_path", "read_mask"]

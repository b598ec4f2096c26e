"""Where a model looks, and what that is worth: saliency maps, their scores, and deletion curves.

Every method gives a map over an image; the scores and the references beside them are the same for all.
"""

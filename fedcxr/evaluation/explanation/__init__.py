"""Where a model looks, and what that is worth: saliency maps, their scores, and curves of deletion."""

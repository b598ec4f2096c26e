"""One hospital: a Flower ClientApp around its own data, keys and disk.

It trains, signs, and judges others' updates when it is drawn. It shares with the server only
`fedcxr.messages` and what lies below, and never imports `server`.
"""

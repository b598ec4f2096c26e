"""What carries messages between server and hospitals: this process, Ray, or Flower's SuperLink.

Each grid delivers the same messages, so that a run ends with the same bits on all of them. Only
`server.grids.simulation` may import both server and clients.
"""

"""What carries messages between server and hospitals: this process, Ray, or Flower's SuperLink."""

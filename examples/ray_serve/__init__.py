"""The example server on several machines: Ray Serve gives each request to one replica, which draws it whole."""

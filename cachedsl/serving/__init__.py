"""What a server of images needs beside the handle: metrics of finished runs."""

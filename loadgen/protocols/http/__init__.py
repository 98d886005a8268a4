"""HTTP/1.1 with kernel receive stamps: requests to bytes, and connections that capture the answer."""

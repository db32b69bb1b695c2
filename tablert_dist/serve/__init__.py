"""The HTTP service: one FastAPI app and one batcher, on uvicorn or as Ray Serve replicas."""

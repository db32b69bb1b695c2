"""A client of `tablert serve`: results as a `Predictor` gives them, from a server elsewhere. Loads no torch."""

from tablert_dist.serve.client.asynchronous import AsyncClient
from tablert_dist.serve.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]

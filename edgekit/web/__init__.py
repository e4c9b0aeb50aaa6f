"""The dashboard and the REST API of a results store. Needs the extra `dashboard` (FastAPI, uvicorn).

Nothing is imported here on purpose: `edgekit.web.serving` loads the server.
"""

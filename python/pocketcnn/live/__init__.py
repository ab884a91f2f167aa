"""The local page of `pocketcnn live`: draw, look into every layer, train.

`server.py` listens, `app.py` answers requests that `guard.py` lets in. What is asked for is
computed by an `Exhibit`, a network that is looked at, and by a `Workshop`, which trains. The page
itself is in `static/`.
"""

"""Rules of shared caches, by RFC 9111 (caching), RFC 9110, 13 (conditions) and RFC 5861 (stale answers). Pure.

directives.py   Cache-Control and the numbers and dates beside it
terms.py        what a response allows: whether it may be stored, how long it is fresh, when it may be served stale
reuse.py        what may be done with a stored response for this request
vary.py         which requests a stored response answers
validation.py   asking whether a stored response is still right, and answering the client who asks that
"""

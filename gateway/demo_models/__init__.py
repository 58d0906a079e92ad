"""A model provider to try the gateway with, and to test it: `gateway demo models`.

It speaks what OpenAI, Anthropic and Gemini speak, whole and streamed, costs nothing and needs no network. The same
request gets the same bytes back, always. What it answers is what it was asked (`You said: ...`), cut off at the output
limit; a tool is called where the request demands one, or where the last user text names one. A token is a word on the
way out and four characters on the way in.

What else it is to do stands in the name of the model, after a plus, or in the key of the provider: `small+slow`,
`sk-demo+fail-429`; `faults.py` has the list. `PUT /demo/fault` does the same to all requests until the next one.
`GET /demo/usage` says what it believes that it served.
"""

from gateway.demo_models.app import DemoModels, Received
from gateway.demo_models.serving import serving

__all__ = ["DemoModels", "Received", "serving"]

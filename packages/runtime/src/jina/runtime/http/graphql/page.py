"""The page that a browser gets at ``/graphql``: a field for a query, the answer, and the schema. It loads nothing."""

from __future__ import annotations

import html
from string import Template
from typing import Final

__all__ = ['render_page']

_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>GraphQL</title>
<style>
body { font-family: sans-serif; margin: 1rem; }
main { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
textarea { width: 100%; height: 16rem; box-sizing: border-box; }
pre { background: #eee; padding: .5rem; overflow: auto; max-height: 80vh; }
</style>
</head>
<body>
<h1>GraphQL</h1>
<p>Send <code>POST</code> requests with <code>{"query": "...", "variables": {...}}</code> to this address, or try it here.
The schema below lists the fields: one for each endpoint, and <code>docs</code> for all of them.</p>
<main>
<section>
<textarea id="query" aria-label="Query">mutation {
  docs(data: {}, execEndpoint: "/") {
    id
  }
}</textarea>
<p><button id="send">Send</button></p>
<pre id="answer"></pre>
</section>
<section><pre id="schema">$schema</pre></section>
</main>
<script>
document.getElementById('send').onclick = async () => {
  const query = document.getElementById('query').value
  const answer = document.getElementById('answer')
  try {
    const response = await fetch(location.pathname, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }),
    })
    answer.textContent = JSON.stringify(await response.json(), null, 2)
  } catch (error) {
    answer.textContent = error
  }
}
</script>
</body>
</html>
""")


def render_page(schema: str) -> str:
    """Returns the page.

    Args:
        schema: The GraphQL schema as text.
    """
    return _PAGE.substitute(schema=html.escape(schema))

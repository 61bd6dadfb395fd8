"""Which of Gradio's addresses stand open: those that the page, scripts and agents use.

Gradio serves many more (proxies, streams, an editor of the page's own code, logins), each of them a
way in that nothing here has a use for.
"""

import re

PAGE = r"/(?:config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(?:/\d{1,4})?)?"
HOST = r"/(?:health|metrics)"
FILES = r"/(?:assets|static|svelte|viewer|studio)/.+"
CALLS = r"/gradio_api/(?:(?:run|api)/\w{1,80}|call/(?!v2/)\w{1,80}(?:/\w{1,80})?)"
QUEUE = r"/gradio_api/(?:queue/(?:join|data)|heartbeat/\w{1,80}|cancel|reset)"
UPLOADS = r"/gradio_api/(?:upload|upload_progress|file=.+)"
MANUALS = r"/gradio_api/(?:info|openapi\.json|app_id|startup-events|theme\.css|mcp(?:/.*)?)"

OPEN = re.compile(rf"(?:{PAGE}|{HOST}|{FILES}|{CALLS}|{QUEUE}|{UPLOADS}|{MANUALS})/?", re.DOTALL)


def is_open(path: str) -> bool:
    """Return whether there is anything for anybody at a path, which has no %-signs left."""
    return OPEN.fullmatch(path) is not None

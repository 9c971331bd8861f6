"""Signing in and out: a plain form, no script needed.

The form is sent by this site only: another site's page cannot have the browser send the session's
cookie (SameSite=Strict), and what it sends itself names another origin.
"""

import time
from html import escape
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from audit.texts import LANGUAGES, Texts
from console.asking import Asking, Refused
from console.sessions import AGE_SECONDS, COOKIE, Session, Sessions

HOME = "/console"
PATH = "/console/sign-in"

FORM_BYTES_MAX = 16 << 10
"""Of the form: a token of an OIDC issuer takes some kilobytes."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8a8f98; --accent: #1e5a8a; --bad: #a3120a; }}
@media (prefers-color-scheme: dark) {{ :root {{ --accent: #8cc4f0; --bad: #ff9d94; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; display: grid; min-height: 100vh;
  place-items: center; }}
main {{ width: min(24rem, calc(100vw - 2rem)); }}
h1 {{ font-size: 1.5rem; margin: 0 0 1rem; }}
label {{ display: block; margin: 1rem 0 .25rem; }}
input, select {{ font: inherit; width: 100%; box-sizing: border-box; padding: .6rem .7rem;
  border: 1px solid var(--line); border-radius: .4rem; background: Canvas; color: CanvasText; }}
button {{ font: inherit; margin-top: 1.25rem; width: 100%; padding: .65rem; border: 0;
  border-radius: .4rem; background: #1e5a8a; color: #fff; cursor: pointer; }}
:focus-visible {{ outline: 3px solid var(--accent); outline-offset: 2px; }}
.bad {{ color: var(--bad); }}
.hint {{ opacity: .8; font-size: .9rem; }}
</style>
</head>
<body><main>
<h1>{title}</h1>
{problem}
<form method="post" action="{path}">
<label for="token">{token}</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<label for="language">{language_label}</label>
<select id="language" name="language">{languages}</select>
<button type="submit">{submit}</button>
</form>
<p class="hint">{hint}</p>
</main></body></html>
"""

_NAMES = {"en": "English", "ru": "Русский"}


def routes(app: FastAPI, sessions: Sessions) -> APIRouter:
    """The pages of signing in and out."""
    group = APIRouter(include_in_schema=False)

    @group.get(PATH)
    async def form(request: Request) -> Response:
        return _form(_language(request), "")

    @group.post(PATH)
    async def sign_in(request: Request) -> Response:
        if not _own_origin(request):
            return _form(_language(request), "other_origin", 403)
        if int(request.headers.get("content-length", FORM_BYTES_MAX + 1)) > FORM_BYTES_MAX:
            return _form(_language(request), "too_long", 413)
        fields = await request.form()
        language = str(fields.get("language", ""))
        language = language if language in LANGUAGES else _language(request)
        token = str(fields.get("token", "")).strip()
        now = time.monotonic()
        asking = Asking(app, Session(token, "", frozenset(), now, now), request)
        try:
            told = await asking.get("/me")
        except Refused as refused:
            return _form(language, refused.code, refused.status)
        except ValueError:  # what was typed cannot even be sent as a header
            return _form(language, "not_signed_in", 401)
        finally:
            await asking.close()
        sessions.end(request.cookies.get(COOKIE))
        cookie = sessions.begin(token, told["name"], frozenset(told["scopes"]), language)
        answer = RedirectResponse(HOME, 303, headers=HEADERS)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=AGE_SECONDS,
            path=HOME,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @group.post("/console/sign-out")
    async def sign_out(request: Request) -> Response:
        if not _own_origin(request):
            return _form(_language(request), "other_origin", 403)
        sessions.end(request.cookies.get(COOKIE))
        answer = RedirectResponse(PATH, 303, headers=HEADERS)
        answer.delete_cookie(COOKIE, path=HOME)
        return answer

    return group


def _own_origin(request: Request) -> bool:
    """Whether the form was sent by a page of this site; a browser always tells on a POST."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _language(request: Request) -> str:
    asked = request.headers.get("accept-language", "")[:2].lower()
    return asked if asked in LANGUAGES else LANGUAGES[0]


def _form(language: str, code: str, status: int = 200) -> HTMLResponse:
    texts = Texts(language, "UTC", "USD")
    problem = ""
    if code:
        said = {
            401: texts.say("This key is not known, or no longer valid."),
            429: texts.say("Too many tries: wait a minute."),
        }.get(status, texts.say("Signing in did not work ({code}).", code=code))
        problem = f'<p class="bad" role="alert">{escape(said)}</p>'
    options = "".join(
        f'<option value="{each}"{" selected" if each == language else ""}>{_NAMES[each]}</option>'
        for each in LANGUAGES
    )
    page = _PAGE.format(
        language=language,
        title=escape(texts.say("Sign in to Points Ledger")),
        problem=problem,
        path=PATH,
        token=escape(texts.say("API key or access token")),
        language_label=escape(texts.say("Language")),
        languages=options,
        submit=escape(texts.say("Sign in")),
        hint=escape(texts.say("`points api keys create` makes a key; it is shown once.")),
    )
    return HTMLResponse(page, status, HEADERS)

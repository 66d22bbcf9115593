"""Moderation of chats: forbidden words are masked, floods refused, repeat offenders muted.

See README.md of the bundle.
"""

from datetime import timedelta

from jackfield_plugin import (
    Event,
    Plugin,
    PublishVerdict,
    Refusal,
    Request,
    broadcast,
    deliver,
    log,
    now,
    store,
    topics,
)

from .settings import Settings
from .words import WordList

plugin = Plugin("jackfield-moderation", "0.1.0")
moderation = plugin.handler(
    "moderation", summary="masks forbidden words, refuses floods, mutes offenders", stateless=True
)

_MINUTE = timedelta(minutes=1)
_MAX_LISTED = 100


class State:
    """The settings of a route, and its word list."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.words = WordList(settings.words)


@moderation.configure
def configure(route) -> State:
    return State(Settings.of(route.args))


@moderation.on_publish
def publish(request: Request, event: Event) -> PublishVerdict:
    """A text, or an object with a `text`, is checked; moderators are not."""
    settings, words = request.state.settings, request.state.words
    caller = request.caller()
    if caller.has_role(settings.moderators):
        return broadcast()
    user = caller.authid
    refuse_muted(user)
    if store.count_within(f"rate/{request.topic}/{user}", _MINUTE) > settings.per_minute:
        raise Refusal("acme.error.too_fast", f"At most {settings.per_minute} messages a minute.")
    value = event.single()
    is_text = isinstance(value, str)
    text = value if is_text else value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise Refusal.invalid_argument("Publish a text, or an object with a text.")
    clean, found = words.mask(text)
    if found:
        strike(request, user, found)
    if clean == text:
        return broadcast()
    return deliver(Event(clean if is_text else {**value, "text": clean}))


@moderation.on_call
def call(request: Request, event: Event) -> Event:
    """For moderators: `muted` lists the muted users, `unmute` with a user ends it early."""
    if not request.caller().has_role(request.state.settings.moderators):
        raise Refusal.not_authorized("Moderators only.")
    match event.args:
        case ["muted"]:
            entries = store.entries("muted/", _MAX_LISTED)
            return Event({key.removeprefix("muted/"): until for key, until in entries})
        case ["unmute", str(user)]:
            store.delete(f"strikes/{user}")
            return Event(store.delete(f"muted/{user}"))
        case _:
            raise Refusal.invalid_argument("The commands are muted, and unmute with a user.")


def refuse_muted(user: str) -> None:
    """Refuses the publication of a muted user."""
    until = store.get(f"muted/{user}")
    if until is not None:
        raise Refusal("acme.error.muted", f"You are muted until {until}.")


def strike(request: Request, user: str, found: list[str]) -> None:
    """Counts an offence; mutes the user at the limit, and tells the moderators."""
    settings = request.state.settings
    mute = timedelta(minutes=settings.mute)
    if store.count_within(f"strikes/{user}", mute) < settings.strikes:
        return
    until = (now() + mute).isoformat(timespec="seconds")
    store.set(f"muted/{user}", until, ttl=mute)
    log.info(f"{user} is muted until {until}: {', '.join(found)}")
    topics.publish(f"{request.topic}/moderation", Event({"muted": user, "until": until}))

"""The web app that a node serves on loopback: server-rendered pages, live by server-sent events."""

from volok.app.web.app import create_app, one_time_link
from volok.app.web.interface import WebNode, WebSettings

__all__ = ["WebNode", "WebSettings", "create_app", "one_time_link"]

"""Executors that ``uses`` names by URI: container images (``docker://``) and entries of the hub (``jinaai://``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from jina.core.errors import ConfigError, ImageNameError, NotSupportedError

__all__ = ['RemoteExecutor']

_IMAGE: Final = re.compile(r'(?P<name>(?:[\w.-]+(?::\d+)?/)?[\w.-]+(?:/[\w.-]+)*)(?::(?P<tag>[\w.-]+))?', re.ASCII)
_HUB: Final = re.compile(r'(?:(?P<owner>[\w.-]+)/)?(?P<name>[\w.-]+)(?::(?P<tag>[\w.-]+))?/?', re.ASCII)
_OLD_HUB: Final = re.compile(r'(?P<name>[\w.-]+)(?::[\w.-]+)?(?:/(?P<tag>[\w.-]+))?/?', re.ASCII)
_HOW: Final = {'docker': 'image', 'sandbox': 'sandbox', '': 'source'}
_DEFAULT_TAG: Final = 'latest'


@dataclass(frozen=True)
class RemoteExecutor:
    """An Executor that isn't on this machine as a class or a file.

    Attributes:
        uri: What ``uses`` says.
        registry: Where it comes from: the registry of a container engine, or the hub.
        form: What is fetched.
        owner: The user that it belongs to; empty for images and in the oldest form of hub URIs.
        name: Its name, of an image with its registry and its path.
        tag: Its version.
    """

    uri: str
    registry: Literal['docker', 'hub']
    form: Literal['image', 'source', 'sandbox']
    owner: str
    name: str
    tag: str

    @classmethod
    def parse(cls, uri: str) -> RemoteExecutor | None:
        """Reads a URI such as ``docker://image:tag``, ``jinaai://user/Name:tag`` or ``jinaai+docker://user/Name``.

        Returns:
            None if it is no URI of this kind.

        Raises:
            ImageNameError: It names no image.
            ConfigError: It names no Executor of the hub.
        """
        scheme, separator, rest = uri.strip().partition('://')
        registry, _, form = scheme.partition('+')
        if not separator:
            return None
        if scheme == 'docker':
            match = _IMAGE.fullmatch(rest)
            if match is None:
                raise ImageNameError(f'{uri!r} names no container image', hint='write docker://<image>[:<tag>]')
            return cls(uri, 'docker', 'image', '', match['name'], match['tag'] or _DEFAULT_TAG)
        if registry not in ('jinaai', 'jinahub') or form not in _HOW:
            return None
        match = (_HUB if registry == 'jinaai' else _OLD_HUB).fullmatch(rest)
        owner = '' if match is None else match.groupdict().get('owner') or ''
        if match is None or (registry == 'jinaai' and not owner):
            raise ConfigError(f'{uri!r} names no Executor of the hub', hint=f'write {scheme}://<user>/<name>[:<tag>]')
        kind: Literal['image', 'source', 'sandbox'] = _HOW[form]  # type: ignore[assignment]
        return cls(uri, 'hub', kind, owner, match['name'], match['tag'] or _DEFAULT_TAG)

    @property
    def image(self) -> str | None:
        """The image with its tag, if a container engine can be asked for it."""
        return f'{self.name}:{self.tag}' if self.registry == 'docker' else None

    @property
    def label(self) -> str:
        """Owner, name and tag in one text."""
        return f'{self.owner}/{self.name}:{self.tag}' if self.owner else f'{self.name}:{self.tag}'

    def refusal(self) -> NotSupportedError:
        """Returns the error of a process that is to become such an Executor, and can neither be a container nor reach the hub."""
        if self.registry == 'docker':
            return NotSupportedError(
                f'uses={self.uri!r} is a container image, and no Executor that a process could load',
                hint='a Deployment or a Flow starts it: jina deployment --uses docker://<image>',
            )
        if self.form == 'image':
            return NotSupportedError(
                f'uses={self.uri!r} is a container image of the hub, which this version can not fetch',
                hint='pull the image and give uses="docker://<image>"',
            )
        return NotSupportedError(
            f'uses={self.uri!r} is an Executor of the hub, which this version can not fetch',
            hint="download its source and give uses='<folder>/config.yml'",
        )

"""``expose_endpoint``: settings of one HTTP route of a Flow or Deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jina.core.config import PYTHON_ONLY, check_routes
from jina.core.errors import ConfigError, LifecycleError

if TYPE_CHECKING:
    from typing_extensions import Self


class ExposeMixin:
    """Adds ``expose_endpoint``. Needs ``_is_running`` of ``Orchestrator``, and what reads and keeps the settings."""

    if TYPE_CHECKING:

        def _is_running(self) -> bool: ...

        def _title(self) -> str: ...

        def _exposed(self) -> Mapping[str, Any]: ...

        def _expose(self, routes: dict[str, dict[str, Any]]) -> None: ...

    def expose_endpoint(self, exec_endpoint: str, **options: Any) -> Self:
        """Set how an endpoint of the Executors appears in HTTP: its path, methods and description.

        Unlike ``add`` it changes the object. Without it, an endpoint is served by POST at the path of its name.

        Args:
            exec_endpoint: Name of the endpoint, for example ``'/foo'``.
            options: ``http_path``, and arguments of FastAPI's routes such as ``methods``, ``summary``, ``tags``, ``status_code`` and
                ``dependencies``; see :class:`jina.core.config.RouteOptions`.

        Returns:
            This object.

        Raises:
            ConfigError: An option doesn't exist or has a wrong value, or another endpoint has the same route.
            LifecycleError: It is started already.
        """
        if self._is_running():
            raise LifecycleError(f'{self._title()} is started already', hint='call expose_endpoint() before the start')
        self._expose(check_routes({**self._exposed(), f'/{exec_endpoint.lstrip("/")}': options}, 'expose_endpoint()'))
        return self


def writable_routes(routes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the settings of exposed endpoints as YAML can hold them.

    Raises:
        ConfigError: One of them is a Python object.
    """
    for endpoint, options in routes.items():
        for name in PYTHON_ONLY:
            if options.get(name) is not None:
                raise ConfigError(
                    f'expose_endpoints[{endpoint!r}].{name} is a Python object, which YAML can not hold',
                    hint='remove it, or keep the Flow in Python',
                )
    return {endpoint: dict(options) for endpoint, options in routes.items()}

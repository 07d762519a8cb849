"""YAML of Executors, Deployments, Flows and logging: reading with variables and line numbers, and writing."""

from jina.core.yaml.dumping import dump_yaml
from jina.core.yaml.loading import LoadedYaml, load_yaml, locator
from jina.core.yaml.objects import LoadOverrides, YamlObject, forgotten_classes, registered_class
from jina.core.yaml.sources import CLASS_NAME, complete_path

__all__ = [
    'CLASS_NAME',
    'LoadOverrides',
    'LoadedYaml',
    'YamlObject',
    'complete_path',
    'dump_yaml',
    'forgotten_classes',
    'load_yaml',
    'locator',
    'registered_class',
]

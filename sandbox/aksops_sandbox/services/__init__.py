"""The table of services. A new Azure service is one file beside this one and one line below."""

from __future__ import annotations

from aksops_sandbox.services.activity import ActivityService
from aksops_sandbox.services.authorization import AuthorizationService
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.charts import ChartsService
from aksops_sandbox.services.compute import ComputeService
from aksops_sandbox.services.containerservice import ContainerService
from aksops_sandbox.services.entra import EntraService
from aksops_sandbox.services.gitops import GitOpsService
from aksops_sandbox.services.identity import ManagedIdentityService
from aksops_sandbox.services.keyvault import KeyVaultService
from aksops_sandbox.services.loadtest import LoadTestService
from aksops_sandbox.services.locks import LocksService
from aksops_sandbox.services.monitor import MonitorService
from aksops_sandbox.services.network import NetworkService
from aksops_sandbox.services.policy import PolicyService
from aksops_sandbox.services.postgresql import PostgresqlService
from aksops_sandbox.services.redis import RedisService
from aksops_sandbox.services.registry import RegistryService
from aksops_sandbox.services.servicebus import ServiceBusService
from aksops_sandbox.services.storage import StorageService
from aksops_sandbox.services.subscriptions import SubscriptionsService
from aksops_sandbox.services.tags import TagsService

SERVICES: list[type[Service]] = [
    EntraService,
    SubscriptionsService,
    TagsService,
    ActivityService,
    AuthorizationService,
    ChartsService,
    ContainerService,
    GitOpsService,
    KeyVaultService,
    ManagedIdentityService,
    NetworkService,
    ServiceBusService,
    RedisService,
    PolicyService,
    ComputeService,
    RegistryService,
    MonitorService,
    LoadTestService,
    LocksService,
    PostgresqlService,
    StorageService,
]

# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of C(module_utils/_postgresql_sql.py)."""

    DOCUMENTATION = r"""
options:
  port:
    description: Port of the server.
    type: int
    default: 5432
  hostaddr:
    description:
      - Address to connect to instead of the one that the host name resolves to.
      - The certificate is still verified against the host name. Without it libpq takes C(PGHOSTADDR).
    type: str
  ca_cert:
    description:
      - File of the authorities that the server's certificate is verified by.
      - Without it C(PGSSLROOTCERT), C(SSL_CERT_FILE) or the system's file is used.
    type: path
  login_user:
    description:
      - Role to log in as.
      - Without it, and with the server's resource id, the Entra administrator that the credential is.
    type: str
  login_password:
    description: Password of O(login_user). Without it the credential's Entra token is used, as Azure wants it.
    type: str
  connect_timeout:
    description: Seconds to try again for where the server is starting or cannot be reached yet.
    type: int
    default: 60
requirements:
  - psycopg[binary] >= 3.2
notes:
  - TLS is always used and always verified. No secret is in a statement, an argument list or an error.
"""

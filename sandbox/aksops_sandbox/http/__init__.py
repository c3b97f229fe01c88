"""The sandbox's front door: CONNECT proxy, TLS by host name, router, faults and the request ledger."""

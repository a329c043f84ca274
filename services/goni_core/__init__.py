"""What every Goni service shares: errors, processes, files, HTTP both ways, and the contract
between services.

Imports nothing of Goni. Each module is one door: processes leave through ``run``, HTTP requests
through ``http``, and a service meets the world through ``serve``.
"""

"""The dashboard at `/dashboard`: pages over the ledger, rendered here, live where JavaScript runs.

Never imported unless it is switched on. It reads; what changes anything is an order to the workers
(`receiver.orders`).
"""

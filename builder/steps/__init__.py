"""What the steps of the built-in flows do, one file a step. The flows themselves (workflows/) only say in which order.

Each step takes the request as the flow got it (JSON) and what earlier steps returned, and writes its record into the ledger.
"""

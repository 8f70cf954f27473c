"""The flow of one transaction: reads in gather, writes in deliver, everything between is pure."""

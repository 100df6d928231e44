"""The registry as the mailbox: what vendors push is handed in, and what is due goes back to them.

    evaluator.watch.names      whose a repository is
    evaluator.watch.offers     what a manifest hands in
    evaluator.watch.taking     a digest becomes a submission, once
    evaluator.watch.sending    outbox/VENDOR goes to the vendor's digests, as OCI referrers
    evaluator.watch.rounds     one look at everything, over and over
    evaluator.watch.service    the rounds, their workers, and what is said of them on loopback

The ledger says what has been handed in and the outbox what may leave; what is remembered beside
them (`mailbox`) could be lost without harm.
"""

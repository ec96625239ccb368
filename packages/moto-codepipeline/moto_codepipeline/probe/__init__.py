"""A probe: finds out how an endpoint behaves where AWS has not published it.

    python -m moto_codepipeline.probe --region eu-west-1

It uses only the public API, as a job worker and a pipeline's owner do. It writes a file of answers,
which ``moto_codepipeline.answers`` writes and reads. docs/probe.md explains how each question is
asked. ``calls`` makes calls, ``place`` creates the resources, ``trials`` runs them, ``measure``
measures a time, ``questions`` has the questions about switches, ``facts`` those about the rest.
"""

"""A probe: asks an endpoint how it behaves where nobody has published it.

    python -m moto_codepipeline.probe --region eu-west-1

It uses the public API alone, as a job worker and a pipeline's owner do. What it finds out is a file
of answers, which ``switches`` and the pytest fixture read. docs/probe.md says how each question is
asked. ``calls`` makes calls, ``place`` what is needed for them, ``measure`` finds a time,
``questions`` are the questions, and ``answers`` is the file.
"""

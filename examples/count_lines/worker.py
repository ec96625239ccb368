"""Counts the lines of the input artifact's files, and uploads a report."""

from acknowledger_worker import Job, Success, Worker


def count_lines(job: Job) -> Success:
    """Count the lines of the files that the action's `Input` names, such as *.py."""
    app, pattern = job.input("App"), job.configuration.get("Input", "*.py")
    files = [file for file in sorted(app.rglob("*")) if file.is_file() and file.match(pattern)]
    lines = {file.relative_to(app): len(file.read_bytes().splitlines()) for file in files}
    report = "".join(f"{count:7} {name}\n" for name, count in lines.items())
    (job.folder / "report.txt").write_text(report)
    job.output("Report", job.folder)
    total = sum(lines.values())
    return Success(summary=f"{total} lines", output_variables={"Lines": str(total)})


handler = Worker(count_lines)

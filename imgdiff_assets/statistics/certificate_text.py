"""A certificate as text."""

from imgdiff_assets.common.plain_text import counted, printable
from imgdiff_assets.statistics.certificate import Certificate, Precision


def to_text(certificate: Certificate) -> str:
    """The estimate, then a table by band, a table by threshold, and how far reviewers agree."""
    overall = certificate.overall
    lines = [_sentence(certificate)]
    critical = certificate.critical
    if critical.estimate is not None and critical.low is not None and critical.high is not None:
        lines.append(
            f"Critical faults: {critical.found:,} of {critical.reviewed:,} reviewed, {critical.estimate:.1%} "
            f"(interval: {critical.low:.1%} to {critical.high:.1%})."
        )
    if certificate.reasons:
        reasons = (f"{printable(name) or 'no reason'} {count:,}" for name, count in certificate.reasons.items())
        lines.append(f"Rejected for: {', '.join(reasons)}.")
    if certificate.chosen:
        lines.append(f"Left out: {counted(certificate.chosen, 'sample')} chosen by hand, or drawn by another score.")
    if certificate.misled:
        lines.append(
            f"Left out: verdicts on {counted(len(certificate.misled), 'sample')} whose images the page of an earlier "
            "release showed the wrong way round. Review them again: the queue of `imgdiff browse` offers them to "
            "those who judged them, and --json lists them as `misled`. Until then the fine-tune set goes by these "
            "verdicts."
        )
    if certificate.unseen and overall.reviewed:
        lines.append(f"Of {counted(certificate.unseen, 'sample')}, in bands without a review, nothing is known.")
    side = "at least" if certificate.keeps_larger else "below"
    if not certificate.bands:
        lines += ["", f"No sample has the score {certificate.score}."]
    elif overall.reviewed:
        lines += ["", _head(certificate.score)]
        lines += [_row(f"{band.low:.4g} to {band.high:.4g}", band.precision) for band in certificate.bands]
        lines += ["", _head(side)]
        lines += [_row(f"{point.threshold:.4g}", point.precision) for point in certificate.thresholds]
    for pair in certificate.agreements:
        kappa = "undefined" if pair.kappa is None else f"{pair.kappa:.2f}"
        names = f"{printable(pair.first)} and {printable(pair.second)}"
        lines += ["", f"{names} agree on {pair.agreed} of {counted(pair.both, 'sample')}; Cohen's kappa {kappa}."]
    return "\n".join(lines)


def _sentence(certificate: Certificate) -> str:
    overall = certificate.overall
    if overall.estimate is None or overall.low is None or overall.high is None:
        return f"None of {counted(overall.population, 'sample')} has been reviewed: `imgdiff browse`, then Review."
    return (
        f"{overall.estimate:.1%} of {counted(overall.population, 'sample')} are right "
        f"({certificate.confidence:.3g} interval: {overall.low:.1%} to {overall.high:.1%}), as {overall.reviewed:,} "
        "reviewed samples tell."
    )


def _head(name: str) -> str:
    return f"{name:<36}{'samples':>9}{'reviewed':>10}{'accepted':>10}{'precision':>11}   interval\n" + "─" * 92


def _row(name: str, precision: Precision) -> str:
    counts = f"{name:<36}{precision.population:>9,}{precision.reviewed:>10,}{precision.accepted:>10,}"
    if precision.estimate is None or precision.low is None or precision.high is None:
        return counts
    return f"{counts}{precision.estimate:>11.1%}   {precision.low:.1%} to {precision.high:.1%}"

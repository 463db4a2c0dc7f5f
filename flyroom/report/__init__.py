"""Self-contained HTML pages: one for each judged claim, a gallery of them, the comparison of two stores, a
network opened up, and the images of a path. What goes into a paper instead, `ladder_latex` writes.

A page's own content security policy forbids every request, so that a page sent by e-mail or put in an archive
shows the same for ever, and a hostile text in a record can neither run nor call home. It is readable without
JavaScript: figures are pictures first, and become interactive where scripts run.
"""

from flyroom.report._certain import certain
from flyroom.report._claim import page
from flyroom.report._comparison import comparison
from flyroom.report._files import filename, write
from flyroom.report._gallery import gallery
from flyroom.report._network import network
from flyroom.report._publish import publish, publish_claim, publish_index
from flyroom.report._trajectory import trajectory

__all__ = [
    "certain",
    "comparison",
    "filename",
    "gallery",
    "network",
    "page",
    "publish",
    "publish_claim",
    "publish_index",
    "trajectory",
    "write",
]

"""Pages of commands beside a report: verify.html, gate.html, compared.html, why.html, time.html.
document: what such a page consists of; pages: from a document to a file. gate, compared, why,
bisected, verified, timed: a command's result as a document, the answer first."""

"""The one language for choosing jobs: lists, bulk actions, errors and links all read it.

    state:failed queue:mail class:*Import* error:Timeout args.user_id:42 since:1h

Terms stand side by side and all of them must hold. `a,b` means either, a `-` before a term its opposite, quotes take blanks,
commas and stars as they are. A word without a field is looked for in the class, the arguments and the error. `sort:` chooses
one of the orders that an index carries.

`parse` makes a `Query` and knows nothing of databases; `queued.storage.search` finds the jobs. What SQL cannot tell alike on
both databases (a value inside the arguments, an error's fingerprint) SQL narrows down, and `Query.exact` decides.
"""

from __future__ import annotations

from queued.domain.query.fields import FIELDS, SORTS
from queued.domain.query.parsing import parse, term
from queued.domain.query.terms import Query, Range, Term, Text

__all__ = ["FIELDS", "SORTS", "Query", "Range", "Term", "Text", "parse", "term"]

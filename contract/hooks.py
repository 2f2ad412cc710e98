"""What schemathesis can't know of the API, or gets wrong."""

import schemathesis
from hypothesis import strategies

# Empty is the beginning. Others are taken from answers; made up, they are refused, which is tested
# by the cases that are wrong on purpose.
schemathesis.openapi.format("cursor", strategies.just(""))

# The coverage phase writes an If-Match of its own making without the quotes.
schemathesis.openapi.format("etag", strategies.integers(1, 9).map('"{}"'.format))


@schemathesis.hook
def filter_case(_context, case):
    """A decision's state stands in the query or in the body: OpenAPI can't say that one is needed."""
    is_decision = case.operation.definition.raw.get("operationId") == "decideTask"
    has_body = isinstance(case.body, (dict, list, str, int))
    return not is_decision or has_body or "state" in (case.query or {})

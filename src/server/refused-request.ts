/**
 * A request that never was one: HTTP's own layer refused it before there was anything to route. It is answered, counted and
 * logged like all others.
 */
import type { ApiError } from "./api-error.js";
import { newRecord, type RequestRecord } from "./exchange.js";
import { SECURITY_HEADERS } from "./guard.js";

/** What goes back over the connection. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function refuseRequest(
  error: ApiError,
  tell: (record: RequestRecord, failure: unknown) => void,
): Refusal {
  // What it wanted is not known: nothing of it could be read, or what was read contradicts itself.
  const record = { ...newRecord("?", "?"), status: error.status, error: error.code, totalMs: 0 };
  tell(record, error.status >= 500 ? (error.cause ?? error) : null);
  return {
    status: error.status,
    headers: {
      ...SECURITY_HEADERS,
      "content-type": "application/json",
      "x-request-id": record.id,
      ...(error.allow !== null && { allow: error.allow.join(", ") }),
    },
    body: error.json,
  };
}

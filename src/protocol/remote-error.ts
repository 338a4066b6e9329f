/** Errors on their way between threads: a structured clone would lose the class and the code. */
import { type ErrorCode, LastrowError } from "../errors.js";

export interface RemoteError {
  /** Null for what is not a `LastrowError`. */
  readonly code: ErrorCode | null;
  readonly name: string;
  readonly message: string;
  readonly stack: string | null;
  readonly cause: RemoteError | null;
}

/** Causes of causes that are taken along. */
const MAX_CAUSES = 4;

export function toRemoteError(error: unknown, causes = MAX_CAUSES): RemoteError {
  if (!(error instanceof Error)) {
    return { code: null, name: "Error", message: String(error), stack: null, cause: null };
  }
  const { name, message, stack = null, cause } = error;
  return {
    code: error instanceof LastrowError ? error.code : null,
    name,
    message,
    stack,
    cause: cause === undefined || causes === 0 ? null : toRemoteError(cause, causes - 1),
  };
}

/** What a call of the engine's client throws: an error without a code is a bug, and says so. */
export function fromRemoteError(remote: RemoteError): LastrowError {
  const error = restoredError(remote);
  if (error instanceof LastrowError) return error;
  const message = `An internal error ended this call (${error.message}); please report it.`;
  return new LastrowError("internal_error", message, { cause: error });
}

function restoredError({ code, name, message, stack, cause }: RemoteError): Error {
  const options = cause === null ? {} : { cause: restoredError(cause) };
  const error = code === null ? new Error(message, options) : new LastrowError(code, message, options);
  error.name = name;
  if (stack !== null) error.stack = stack;
  return error;
}

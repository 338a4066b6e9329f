/** What went wrong, in words of the page's language. */
import { LastrowError } from "lastrow";
import type { Strings } from "./en.ts";

/** Of a model of the user's own: in the library's words, which name the file, what was found and what was expected. */
export function ownWords(error: unknown, strings: Strings): string {
  return error instanceof LastrowError ? error.message : errorWords(error, strings, 0);
}

export function errorWords(error: unknown, { errors }: Strings, contextLength: number): string {
  if (error instanceof LastrowError) {
    switch (error.code) {
      case "runtime_unsupported":
      case "memory_limit_exceeded":
      case "kv_memory_exhausted":
        return errors[error.code];
      case "context_length_exceeded":
        return errors.context_length_exceeded(contextLength);
      case "model_not_found":
      case "code_unavailable":
        return errors.fetch;
      default:
        return errors.other(error.message);
    }
  }
  if (error instanceof RangeError && /memory|allocat/i.test(error.message)) return errors.out_of_memory;
  if (error instanceof TypeError && /fetch/i.test(error.message)) return errors.fetch;
  return errors.other(error instanceof Error ? error.message : String(error));
}

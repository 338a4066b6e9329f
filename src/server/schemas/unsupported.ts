/** Fields of OpenAI's and of other servers that this one does not have. */
import { z } from "@hono/zod-openapi";

/**
 * Only what nothing comes of is accepted in a field that is not supported.
 * @param instead what to do, where that can be said
 */
export function unsupported(
  what: string,
  isAbsent: (value: unknown) => boolean = (value) => value == null,
  instead = "",
) {
  const why = `${what} is not supported by this server`;
  return z
    .unknown()
    .refine(isAbsent, { error: instead === "" ? why : `${why}: ${instead}` })
    .optional();
}

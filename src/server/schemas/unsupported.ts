/** Fields of OpenAI's and of other servers that this one does not have. */
import { z } from "@hono/zod-openapi";

/** Only what nothing comes of is accepted in a field that is not supported. */
export function unsupported(what: string, isAbsent: (value: unknown) => boolean = (value) => value == null) {
  return z
    .unknown()
    .refine(isAbsent, { error: `${what} is not supported by this server` })
    .optional();
}

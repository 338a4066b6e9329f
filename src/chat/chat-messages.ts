/** Messages as callers hand them over, checked. */
import { LastrowError } from "../errors.js";

const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant"]);

/** @throws LastrowError `invalid_argument` for anything but a list of at least one message */
export function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new LastrowError("invalid_argument", "messages is a list of at least one message.");
  }
  for (const [i, message] of messages.entries()) {
    if (!ROLES.has(message?.role) || typeof message.content !== "string") {
      throw new LastrowError(
        "invalid_argument",
        `Message ${i} is not { role, content }: a role is ${[...ROLES].join(", ")}, a content a text.`,
      );
    }
  }
}

/** Messages as callers hand them over: checked, and their texts. */
import { LastrowError } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import type { ChatMessage, TextPart } from "./chat-template.js";

const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant"]);

/** @throws LastrowError `invalid_argument` for anything but a list of at least one message */
export function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new LastrowError("invalid_argument", "messages is a list of at least one message.");
  }
  for (const [i, message] of messages.entries()) {
    const { role, content, reasoning } = message ?? {};
    if (
      !ROLES.has(role) ||
      !isContent(content) ||
      !(reasoning === undefined || typeof reasoning === "string")
    ) {
      throw new LastrowError(
        "invalid_argument",
        `Message ${i} is not { role, content }: a role is ${[...ROLES].join(", ")}, a content a text or a list of { type: "text", text }, and reasoning, if there is any, a text.`,
      );
    }
  }
}

/** Names that the conversation itself gives a meaning. */
const TAKEN: ReadonlySet<string> = new Set(["messages", "tools", "documents", "add_generation_prompt"]);
/** Deepest nesting of a variable. */
const MAX_DEPTH = 32;

/** @throws LastrowError `invalid_argument` for anything but plain data under names that are free */
export function checkVariables(variables: unknown, name: string): void {
  if (typeof variables !== "object" || variables === null || Array.isArray(variables)) {
    throw new LastrowError("invalid_argument", `${name} is an object of the template's variables.`);
  }
  for (const [key, value] of Object.entries(variables)) {
    if (TAKEN.has(key)) {
      throw new LastrowError("invalid_argument", `${name} cannot set ${key}: the conversation does.`);
    }
    if (!isPlain(value, MAX_DEPTH)) {
      throw new LastrowError(
        "invalid_argument",
        `${name} has ${quoteValue(key)}, which is not plain data, as JSON has it.`,
      );
    }
  }
}

function isPlain(value: unknown, depth: number): boolean {
  if (value === null || typeof value === "boolean" || typeof value === "string") return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || depth === 0) return false;
  const isData = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
  return isData && Object.values(value).every((item) => isPlain(item, depth - 1));
}

function isContent(content: unknown): boolean {
  const isPart = (part: unknown) =>
    typeof part === "object" &&
    part !== null &&
    (part as TextPart).type === "text" &&
    typeof (part as TextPart).text === "string";
  return typeof content === "string" || (Array.isArray(content) && content.every(isPart));
}

/** The text of a message, its parts joined. */
export function textOf({ content }: Pick<ChatMessage, "content">): string {
  return typeof content === "string" ? content : content.map(({ text }) => text).join("");
}

/** Messages as callers hand them over: checked, and their texts. */
import { LastrowError } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import type { ToolDefinition } from "../tools/tool.js";
import { checkArguments, MAX_DEPTH } from "./call-arguments.js";
import type { ChatMessage, TextPart } from "./chat-template.js";

const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant", "tool"]);

/** @throws LastrowError `invalid_argument` for anything but a list of at least one message */
export function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new LastrowError("invalid_argument", "messages is a list of at least one message.");
  }
  for (const [i, message] of messages.entries()) {
    const { role, content, reasoning } = message ?? {};
    if (!ROLES.has(role) || !isContent(content) || !isTextOrAbsent(reasoning)) {
      throw new LastrowError(
        "invalid_argument",
        `Message ${i} is not { role, content }: a role is ${[...ROLES].join(", ")}, a content a text or a list of { type: "text", text }, and reasoning, if there is any, a text.`,
      );
    }
    checkCalls(message, i);
  }
}

/** What a message has of calls. */
function checkCalls({ role, toolCalls, toolCallId, name }: Record<string, unknown>, index: number): void {
  const refuse = (why: string) => {
    throw new LastrowError("invalid_argument", `Message ${index} ${why}.`);
  };
  if (role === "tool") {
    if (typeof toolCallId !== "string" || !isTextOrAbsent(name)) {
      refuse(
        "has the role tool, and so a toolCallId, the id of the call that it answers, and perhaps a name",
      );
    }
  } else if (toolCallId !== undefined) refuse(`has a toolCallId, and its role is not tool but ${role}`);
  if (toolCalls === undefined) return;
  if (role !== "assistant") refuse(`has toolCalls, and its role is not assistant but ${role}`);
  if (!Array.isArray(toolCalls)) refuse("has toolCalls that are not a list");
  for (const [i, call] of (toolCalls as unknown[]).entries()) {
    const { id, name: called, arguments: text } = (call ?? {}) as Record<string, unknown>;
    if (typeof id !== "string" || typeof called !== "string" || typeof text !== "string") {
      refuse(`has a call (${i}) that is not { id, name, arguments }, each a text`);
    }
    checkArguments(text as string, `Message ${index}: its call ${i}`);
  }
}

function isTextOrAbsent(value: unknown): boolean {
  return value === undefined || typeof value === "string";
}

/** Deepest nesting of a tool's parameters: a schema has two or three levels for each of what it describes. */
const MAX_TOOL_DEPTH = 64;

/** Names that the conversation itself gives a meaning. */
const TAKEN: ReadonlySet<string> = new Set(["messages", "tools", "documents", "add_generation_prompt"]);
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

/**
 * Checks what a template is handed of tools, which `checkTools` has checked.
 * @throws LastrowError `invalid_argument` for parameters that are nested too deeply, or no plain data
 */
export function checkRenderable(tools: readonly ToolDefinition[]): void {
  for (const [i, { parameters }] of tools.entries()) {
    if (parameters === undefined || isPlain(parameters, MAX_TOOL_DEPTH)) continue;
    throw new LastrowError(
      "invalid_argument",
      `tools[${i}].parameters is not plain data, as JSON has it, of at most ${MAX_TOOL_DEPTH} levels.`,
    );
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

/** Characters that a message gives a template, its role left out. */
export function givenLength(message: ChatMessage): number {
  const { reasoning = "", toolCalls = [], toolCallId = "", name = "" } = message;
  const calls = toolCalls.reduce(
    (sum, call) => sum + call.id.length + call.name.length + call.arguments.length,
    0,
  );
  return textOf(message).length + reasoning.length + calls + toolCallId.length + name.length;
}

/**
 * Tools: functions that a model may call, as callers describe them, and the calls that it makes of them. Plain data; nothing
 * here runs a function.
 */
import { invalidArgument } from "../errors.js";
import { jsonLength } from "../grammar/json-schema/json-length.js";
import { SCHEMA_LIMITS } from "../grammar/json-schema/schema-limits.js";
import { shown } from "../option-checks.js";

/** A function that a model may call. */
export interface ToolDefinition {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: string;
  /** What it does and when to call it, for the model to read. */
  readonly description?: string | undefined;
  /** A JSON Schema of the object that it takes, with the keywords that structured output honours; absent: it takes nothing. */
  readonly parameters?: boolean | { readonly [keyword: string]: unknown } | undefined;
}

/**
 * Whether tools are called: as the model likes (`auto`), not at all, at least one of them, or the one that is named and
 * no other.
 */
export type ToolChoice = "none" | "auto" | "required" | { readonly name: string };

/** A call of a tool. */
export interface ToolCall {
  /** Tells it from the other calls of a conversation; its result names it. */
  readonly id: string;
  /** The tool that it calls. */
  readonly name: string;
  /** JSON of an object. Of an answer that ended by length it may be cut off. */
  readonly arguments: string;
}

/** What is new of a call while it is written. */
export interface ToolCallDelta {
  /** Which of an answer's calls it belongs to, from 0. */
  readonly index: number;
  /** With the first delta of a call, and only there. */
  readonly id?: string | undefined;
  /** Likewise. */
  readonly name?: string | undefined;
  /** All of a call's, joined, are its arguments. */
  readonly arguments: string;
}

/** Most tools of one answer. */
export const MAX_TOOLS = 128;

/** What is said of tools that are longer, with all that they say, than a schema may be. */
export const TOOLS_TOO_LONG = `tools are, as JSON, over ${SCHEMA_LIMITS.maxLength} characters, the most that all of one answer may have.`;

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/**
 * Checks tools as callers hand them over, and which of them are to be called. What `parameters` say is checked where they are
 * compiled.
 * @throws LastrowError `invalid_argument` that names the place, as `tools[2].name`
 */
export function checkTools(tools: unknown, choice: unknown): void {
  if (!Array.isArray(tools)) throw invalidArgument(`tools is a list of tools, not ${shown(tools)}.`);
  if (tools.length > MAX_TOOLS) {
    throw invalidArgument(`tools has ${tools.length} tools; the most are ${MAX_TOOLS}.`);
  }
  const { maxLength } = SCHEMA_LIMITS;
  if (jsonLength(tools, maxLength) > maxLength) throw invalidArgument(TOOLS_TOO_LONG);
  const names = new Set<string>();
  for (const [i, tool] of tools.entries()) {
    const name = checkTool(tool, `tools[${i}]`);
    if (names.has(name)) throw invalidArgument(`tools[${i}].name is ${shown(name)} again; each has its own.`);
    names.add(name);
  }
  checkChoice(choice, names);
}

function checkTool(tool: unknown, where: string): string {
  if (typeof tool !== "object" || tool === null || Array.isArray(tool)) {
    throw invalidArgument(`${where} is { name, description, parameters }, not ${shown(tool)}.`);
  }
  const { name, description, parameters } = tool as Record<string, unknown>;
  if (typeof name !== "string" || !NAME.test(name)) {
    throw invalidArgument(
      `${where}.name is 1 to 64 letters, digits, underscores and hyphens, not ${shown(name)}.`,
    );
  }
  if (description !== undefined && typeof description !== "string") {
    throw invalidArgument(`${where}.description is a text, not ${shown(description)}.`);
  }
  const isSchema =
    typeof parameters === "boolean" ||
    (typeof parameters === "object" && parameters !== null && !Array.isArray(parameters));
  if (parameters !== undefined && !isSchema) {
    throw invalidArgument(`${where}.parameters is a JSON Schema of an object, not ${shown(parameters)}.`);
  }
  return name;
}

function checkChoice(choice: unknown, names: ReadonlySet<string>): void {
  if (choice === "none" || choice === "auto") return;
  if (choice === "required") {
    if (names.size > 0) return;
    throw invalidArgument('the choice of tools is "required", and there are no tools.');
  }
  const name =
    typeof choice === "object" && choice !== null ? (choice as Record<string, unknown>).name : undefined;
  if (typeof name !== "string") {
    throw invalidArgument(
      `the choice of tools is "none", "auto", "required" or the name of one, not ${shown(choice)}.`,
    );
  }
  if (!names.has(name))
    throw invalidArgument(`the choice of tools names ${shown(name)}, which is not among them.`);
}

/** The tools of one answer, and what is made of them: what the answer is held to, and what reads its calls. */
import { invalidArgument } from "../errors.js";
import { isObject, type Schema } from "../grammar/json-schema/schema-types.js";
import { argumentTypes } from "./argument-types.js";
import type { CallFormat } from "./call-format.js";
import type { ToolsSpec } from "./call-grammar.js";
import type { ReadTool } from "./call-split.js";
import type { ToolChoice, ToolDefinition } from "./tool.js";

/** What an answer may call, and how its model writes calls. */
export interface AnswerTools {
  readonly format: CallFormat;
  /** Checked by `checkTools`. */
  readonly tools: readonly ToolDefinition[];
  readonly choice: ToolChoice;
  /** Names of those that it may call, of which there is one at least; default: all of them. */
  readonly callable?: readonly string[] | undefined;
  /** Whether it may make several calls. */
  readonly parallel: boolean;
}

/**
 * What the answer is held to, as plain data that cannot change meanwhile.
 * @throws LastrowError `invalid_argument` for parameters that are not JSON
 */
export function toolsSpec({ format, tools, choice, callable, parallel }: AnswerTools): ToolsSpec {
  const plain = tools.map(({ name, parameters }, i) => ({
    name,
    parameters: jsonOf(parameters, `tools[${i}].parameters`),
  }));
  return { format, tools: plain, choice, ...(callable && { callable }), parallel };
}

/** What reads its calls. */
export function readTools({ tools }: ToolsSpec): readonly ReadTool[] {
  return tools.map(({ name, parameters }) => {
    let schema: Schema | null = null;
    return {
      name,
      typesOf: (argument) => {
        schema ??= JSON.parse(parameters) as Schema;
        return argumentTypes(schema, argument);
      },
    };
  });
}

const NO_ARGUMENTS: Schema = { type: "object", additionalProperties: false };

/** A tool with no parameters, or with a list of them that is empty, takes none. */
function jsonOf(parameters: ToolDefinition["parameters"], where: string): string {
  const hasNone =
    parameters === undefined ||
    (isObject(parameters) &&
      isObject(parameters.properties) &&
      Object.keys(parameters.properties).length === 0 &&
      Object.keys(parameters).every((keyword) => SAY_NO_MORE.has(keyword)));
  try {
    return JSON.stringify(hasNone ? NO_ARGUMENTS : parameters);
  } catch {
    throw invalidArgument(`${where} cannot be written as JSON: it refers to itself, or is no data.`);
  }
}

/** Beside an empty list of parameters. */
const SAY_NO_MORE: ReadonlySet<string> = new Set([
  ...["type", "properties", "required", "title", "description", "$schema", "$id", "$comment"],
]);

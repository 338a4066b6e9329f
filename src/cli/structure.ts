/** `--schema`, `--regex` and `--grammar`: what an answer is held to, read and checked before a model is loaded. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { LastrowError } from "../errors.js";
import { type JsonSchema, resolveStructure, type StructureOptions } from "../library/structured-output.js";

export interface StructureCommandOptions {
  /** File of a JSON Schema. */
  readonly schema?: string | undefined;
  readonly regex?: string | undefined;
  /** File of a grammar in GBNF. */
  readonly grammar?: string | undefined;
}

export function addStructureOptions(command: Command): Command {
  return command
    .optionsGroup("Structure:")
    .option("--schema <file>", "the answer is JSON that fits this JSON Schema")
    .option("--regex <pattern>", "the answer matches this ECMAScript pattern as a whole")
    .option("--grammar <file>", "the answer is of this grammar in GBNF, llama.cpp's form");
}

/**
 * The library's options.
 * @throws LastrowError `invalid_argument` for two at once, and for a file that cannot be read, or a schema that is no JSON
 */
export async function structureFor({
  schema,
  regex,
  grammar,
}: StructureCommandOptions): Promise<StructureOptions> {
  const [first, second] = Object.entries({ schema, regex, grammar }).filter(
    ([, value]) => value !== undefined,
  );
  if (second !== undefined) {
    throw new LastrowError(
      "invalid_argument",
      `--${first[0]} and --${second[0]} cannot be combined; give one of them.`,
    );
  }
  if (schema !== undefined) return checked({ schema: jsonOf(schema, await read("--schema", schema)) });
  if (grammar !== undefined) return { grammar: await read("--grammar", grammar) };
  return regex === undefined ? {} : { regex };
}

function checked(options: StructureOptions): StructureOptions {
  resolveStructure(options);
  return options;
}

async function read(option: string, path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw refused(option, `${path} cannot be read`, cause);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw refused(option, `${path} is no text in UTF-8`, cause);
  }
}

function jsonOf(path: string, text: string): JsonSchema {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refused("--schema", `${path} is not JSON`, cause);
  }
}

function refused(option: string, what: string, cause: unknown): LastrowError {
  return new LastrowError("invalid_argument", `${option}: ${what}: ${(cause as Error).message}.`, { cause });
}

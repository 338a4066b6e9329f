/** `--schema` and `--regex`: what an answer is held to, read and checked before a model is loaded. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { LastrowError } from "../errors.js";
import { type JsonSchema, resolveStructure, type StructureOptions } from "../library/structured-output.js";

export interface StructureCommandOptions {
  /** File of a JSON Schema. */
  readonly schema?: string | undefined;
  readonly regex?: string | undefined;
}

export function addStructureOptions(command: Command): Command {
  return command
    .optionsGroup("Structure:")
    .option("--schema <file>", "the answer is JSON that fits this JSON Schema")
    .option("--regex <pattern>", "the answer matches this ECMAScript pattern as a whole");
}

/**
 * The library's options.
 * @throws LastrowError `invalid_argument` for both at once, and for a file that cannot be read or is no JSON
 */
export async function structureFor({
  schema: path,
  regex,
}: StructureCommandOptions): Promise<Pick<StructureOptions, "schema" | "regex">> {
  if (path !== undefined && regex !== undefined) {
    throw new LastrowError("invalid_argument", "--schema and --regex cannot be combined; give one of them.");
  }
  if (path === undefined) return regex === undefined ? {} : { regex };
  const schema = await readSchema(path);
  resolveStructure({ schema });
  return { schema };
}

async function readSchema(path: string): Promise<JsonSchema> {
  const refused = (what: string, cause: unknown) =>
    new LastrowError("invalid_argument", `--schema: ${path} ${what}: ${(cause as Error).message}.`, {
      cause,
    });
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw refused("cannot be read", cause);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw refused("is not JSON", cause);
  }
}

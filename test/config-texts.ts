/** What is made of a `config.json`, and how one is refused, for tests of families. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { WantedContext } from "../src/architectures/architecture.js";
import { readModelConfig } from "../src/architectures/read-config.js";
import { LastrowError } from "../src/errors.js";
import type { ModelConfig } from "../src/model/config.js";
import type { AttentionSpec } from "../src/model/decoder-spec.js";
import { type FamilyName, familyFolder } from "./fixture-models.js";
import { memoryFiles } from "./memory-files.js";

/** @param config the file's text, or what it says */
export function readConfig(config: unknown, wanted?: WantedContext): Promise<ModelConfig> {
  const text = typeof config === "string" ? config : JSON.stringify(config);
  return readModelConfig(memoryFiles("my-model", { "config.json": text }), wanted);
}

/** @returns the error's code and its sentence */
export async function refusalOf(config: unknown, wanted?: WantedContext): Promise<string> {
  try {
    await readConfig(config, wanted);
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    return `${(error as LastrowError).code}: ${(error as LastrowError).message}`;
  }
  throw new Error("accepted");
}

/** A config that transformers wrote, as version 5 or as version 4 of it spells rotation. */
export function familyConfig(name: FamilyName, file = "config.json"): Record<string, unknown> {
  return JSON.parse(readFileSync(`${familyFolder(name)}/${file}`, "utf8"));
}

/** One value of attention for each layer. */
export function eachLayer<Key extends keyof AttentionSpec>(
  config: ModelConfig,
  key: Key,
): AttentionSpec[Key][] {
  return config.decoder.layers.map(({ attention }) => attention[key]);
}

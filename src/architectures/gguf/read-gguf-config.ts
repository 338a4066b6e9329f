/** A GGUF file's metadata and list of tensors: which family it is of, and that family's reading of it. */
import { LastrowError, modelFileInvalid, modelUnsupported } from "../../errors.js";
import type { GgufMetadata } from "../../formats/gguf/gguf-metadata.js";
import type { ModelConfig } from "../../model/config.js";
import { quoteValue } from "../../quote-value.js";
import type { StoredFamily, WantedContext } from "../architecture.js";
import { ArchitectureKeys } from "./architecture-keys.js";
import { HARMLESS_KEYS, type StoredShapes } from "./common-keys.js";
import { type GgufArchitecture, ggufArchitectures } from "./gguf-architectures.js";
import { ggufTensors } from "./gguf-tensors.js";
import { whyGgufRefused } from "./refused-gguf.js";
import { expectFactors, MAX_FACTORS, ROTARY_TENSORS, type RotaryFactors } from "./rotary-keys.js";

/** A file's config, and the tensors that it implies. */
export interface GgufModelConfig {
  readonly config: ModelConfig;
  readonly family: StoredFamily;
}

/** A file's metadata and its tensors, none read. */
export interface GgufHeader {
  readonly metadata: GgufMetadata;
  readonly tensors: StoredShapes;
}

/**
 * Reads what a file says of its model.
 *
 * @param factors what `rotaryTensorNames` name, by kind; null: not read, so that the frequencies mean nothing
 * @param wanted the context to load the model with
 * @returns the config, as its family has it from a `config.json` that says the same
 * @throws LastrowError as `readModelConfig`, naming keys instead of fields; `model_unsupported` for an architecture that is
 *   not run and for keys of it that nothing here reads
 */
export function readGgufConfig(
  { metadata, tensors: stored }: GgufHeader,
  factors: RotaryFactors | null,
  wanted: WantedContext = {},
): GgufModelConfig {
  const architecture = architectureOf(metadata);
  const keys = new ArchitectureKeys(metadata, architecture.id);
  const { fileName } = metadata;
  const read = factors ?? sizedFactors(architecture, stored);
  for (const kind of architecture.rotaryTensors) {
    const values = read[kind];
    if (values !== null) expectFactors(values, fileName, ROTARY_TENSORS[kind]);
  }
  const family = architecture.read({ keys, stored, factors: read });
  keys.expectAllKnown([...HARMLESS_KEYS, ...(architecture.harmlessKeys ?? [])]);
  for (const [field, key] of TOKENS) {
    keys.fields[field] = metadata.wholeNumber(key, { from: -1, to: 2 ** 53 - 1 });
  }
  const config = keys.named(() =>
    family.config(keys.fields, fileName, { ...wanted, frequencyDivisors: read.all ?? undefined }),
  );
  const unused = [
    ...rotaryTensorNames(architecture, stored).map(([, name]) => name),
    ...(architecture.unusedTensors ?? []),
  ];
  return {
    config,
    family: {
      name: family.name,
      tensors: ggufTensors(architecture.layout),
      prefixes: [],
      ignored: new RegExp(`^(${unused.map((name) => name.replaceAll(".", "\\.")).join("|") || "(?!)"})$`),
    },
  };
}

/** Kinds and names of the tensors that a file has of factors of its rotation, to be read before its config. */
export function ggufRotaryTensors({ metadata, tensors }: GgufHeader) {
  return rotaryTensorNames(architectureOf(metadata), tensors);
}

const TOKENS = [
  ["bos_token_id", "tokenizer.ggml.bos_token_id"],
  ["eos_token_id", "tokenizer.ggml.eos_token_id"],
] as const;

function rotaryTensorNames({ rotaryTensors }: GgufArchitecture, stored: StoredShapes) {
  return rotaryTensors
    .map((kind) => [kind, ROTARY_TENSORS[kind]] as const)
    .filter(([, name]) => stored.has(name));
}

/** Factors of the right number, that stand for those of the file. */
function sizedFactors(architecture: GgufArchitecture, stored: StoredShapes): RotaryFactors {
  const sized = { all: null, short: null, long: null };
  const found = rotaryTensorNames(architecture, stored).map(([kind, name]) => {
    const [count = 0] = stored.get(name)?.shape ?? [];
    return [kind, new Array<number>(Math.min(count, MAX_FACTORS)).fill(1)] as const;
  });
  return { ...sized, ...Object.fromEntries(found) };
}

function architectureOf(metadata: GgufMetadata): GgufArchitecture {
  const { fileName } = metadata;
  const type = metadata.text("general.type");
  if (type !== null && type !== "model") {
    throw modelUnsupported(`${fileName}: general.type is ${quoteValue(type)}; whole models of text are run.`);
  }
  const id = metadata.text("general.architecture");
  const known = ggufArchitectures.map((one) => one.id).join(", ");
  if (id === null) {
    throw modelFileInvalid(`${fileName} has no general.architecture; expected one of ${known}.`);
  }
  const architecture = ggufArchitectures.find((one) => one.id === id);
  if (architecture !== undefined) return architecture;
  const reason = whyGgufRefused(id) ?? `these are run: ${known}`;
  throw new LastrowError(
    "model_unsupported",
    `${fileName}: general.architecture is ${quoteValue(id)}; ${reason}.`,
  );
}

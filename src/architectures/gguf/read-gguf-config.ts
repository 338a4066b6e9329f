/** A GGUF file's metadata and list of tensors: which family it is of, and that family's reading of it. */
import { LastrowError, modelFileInvalid, modelUnsupported } from "../../errors.js";
import { fetchedCode } from "../../fetched-code.js";
import type { GgufMetadata } from "../../formats/gguf/gguf-metadata.js";
import type { ModelConfig } from "../../model/config.js";
import { quoteValue } from "../../quote-value.js";
import type { Architecture, StoredFamily, WantedContext } from "../architecture.js";
import { fetchArchitecture } from "../fetch-architecture.js";
import { ArchitectureKeys } from "./architecture-keys.js";
import { HARMLESS_KEYS, type StoredShapes } from "./common-keys.js";
import { type GgufArchitecture, ggufArchitectures } from "./gguf-architectures.js";
import { ggufTensors } from "./gguf-tensors.js";
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
 * What reads the files of an architecture, with the families that it may be.
 * @throws LastrowError `model_file_invalid` for a file that names none, `model_unsupported` for one that is not run and for files
 *   that are no model, `code_unavailable`
 */
export async function fetchGgufArchitecture(metadata: GgufMetadata): Promise<FetchedGgufArchitecture> {
  const architecture = await architectureOf(metadata);
  const families = await fetchFamilies(architecture);
  return { ...architecture, families };
}

/** Has the families of an architecture fetched, before all of its file is there. */
export function expectGgufArchitecture(id: unknown): void {
  const architecture = ggufArchitectures.find((one) => one.id === id);
  if (architecture !== undefined) fetchFamilies(architecture).catch(() => undefined);
}

export interface FetchedGgufArchitecture extends Omit<GgufArchitecture, "families"> {
  readonly families: readonly Architecture[];
}

/** @throws LastrowError `code_unavailable` */
async function fetchFamilies({ families }: GgufArchitecture): Promise<Architecture[]> {
  const fetched = await Promise.all(families.map(fetchArchitecture));
  return fetched.filter((family) => family !== null);
}

/**
 * Reads what a file says of its model.
 *
 * @param architecture the file's own
 * @param factors what `rotaryTensorNames` name, by kind; null: not read, so that the frequencies mean nothing
 * @param wanted the context to load the model with
 * @returns the config, as its family has it from a `config.json` that says the same
 * @throws LastrowError as `readModelConfig`, naming keys instead of fields; `model_unsupported` for keys of the architecture that
 *   nothing here reads
 */
export function readGgufConfig(
  architecture: FetchedGgufArchitecture,
  { metadata, tensors: stored }: GgufHeader,
  factors: RotaryFactors | null,
  wanted: WantedContext = {},
): GgufModelConfig {
  const keys = new ArchitectureKeys(metadata, architecture.id);
  const { fileName } = metadata;
  const read = factors ?? sizedFactors(architecture, stored);
  for (const kind of architecture.rotaryTensors) {
    const values = read[kind];
    if (values !== null) expectFactors(values, fileName, ROTARY_TENSORS[kind]);
  }
  const modelType = architecture.read({ keys, stored, factors: read });
  const family = architecture.families.find(({ id }) => id === modelType);
  if (family === undefined) throw new Error(`${modelType} is none of the families of ${architecture.id}`);
  keys.expectAllKnown([...HARMLESS_KEYS, ...(architecture.harmlessKeys ?? [])]);
  for (const [field, key] of TOKENS) {
    keys.fields[field] = metadata.wholeNumber(key, { from: -1, to: 2 ** 53 - 1 });
  }
  const config = keys.named(() =>
    family.config(keys.fields, fileName, { ...wanted, frequencyDivisors: read.all ?? undefined }),
  );
  const unused = [
    ...ggufRotaryTensors(architecture, stored).map(([, name]) => name),
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

const TOKENS = [
  ["bos_token_id", "tokenizer.ggml.bos_token_id"],
  ["eos_token_id", "tokenizer.ggml.eos_token_id"],
] as const;

/** Kinds and names of the tensors that a file has of factors of its rotation, to be read before its config. */
export function ggufRotaryTensors(
  { rotaryTensors }: Pick<GgufArchitecture, "rotaryTensors">,
  stored: StoredShapes,
) {
  return rotaryTensors
    .map((kind) => [kind, ROTARY_TENSORS[kind]] as const)
    .filter(([, name]) => stored.has(name));
}

/** Factors of the right number, that stand for those of the file. */
function sizedFactors(
  architecture: Pick<GgufArchitecture, "rotaryTensors">,
  stored: StoredShapes,
): RotaryFactors {
  const sized = { all: null, short: null, long: null };
  const found = ggufRotaryTensors(architecture, stored).map(([kind, name]) => {
    const [count = 0] = stored.get(name)?.shape ?? [];
    return [kind, new Array<number>(Math.min(count, MAX_FACTORS)).fill(1)] as const;
  });
  return { ...sized, ...Object.fromEntries(found) };
}

async function architectureOf(metadata: GgufMetadata): Promise<GgufArchitecture> {
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
  const { whyGgufRefused } = await fetchedCode(import("./refused-gguf.js"));
  const reason = whyGgufRefused(id) ?? `these are run: ${known}`;
  throw new LastrowError(
    "model_unsupported",
    `${fileName}: general.architecture is ${quoteValue(id)}; ${reason}.`,
  );
}
